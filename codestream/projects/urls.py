"""Addresses of the pages of projects and variables."""

from __future__ import annotations

from django.urls import path

from codestream.projects import variable_views, views

app_name = "projects"

urlpatterns = [
    path("projects/", views.project_list, name="list"),
    path("projects/new/", views.new, name="new"),
    path("projects/<uuid:pk>/", views.detail, name="detail"),
    path("projects/<uuid:pk>/edit/", views.edit, name="edit"),
    path("projects/<uuid:pk>/delete/", views.delete, name="delete"),
    path("projects/<uuid:pk>/members/", views.add_member, name="add-member"),
    path(
        "projects/<uuid:pk>/members/<uuid:member_pk>/role/", views.change_role, name="change-role"
    ),
    path(
        "projects/<uuid:pk>/members/<uuid:member_pk>/remove/",
        views.remove_member,
        name="remove-member",
    ),
    path("variables/", variable_views.variables, name="variables"),
    path("variables/new/", variable_views.new, name="new-variable"),
    path("variables/dialog/", variable_views.dialog, name="create-variable"),
    path("variables/<uuid:pk>/", variable_views.edit, name="edit-variable"),
    path("variables/<uuid:pk>/delete/", variable_views.delete, name="delete-variable"),
]
