"""Addresses of the pipeline pages."""

from __future__ import annotations

from django.urls import path

from pipelines import views

app_name = "pipelines"

urlpatterns = [
    path("pipelines/", views.pipeline_list, name="list"),
    path("pipelines/new/", views.new, name="new"),
    path("pipelines/<uuid:pk>/", views.detail, name="detail"),
    path("pipelines/<uuid:pk>/edit/", views.edit, name="edit"),
    path("pipelines/<uuid:pk>/state/", views.change_state, name="state"),
    path("pipelines/<uuid:pk>/delete/", views.delete, name="delete"),
]
