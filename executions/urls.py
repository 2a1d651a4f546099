"""Addresses of the execution pages."""

from __future__ import annotations

from django.urls import path

from executions import views

app_name = "executions"

urlpatterns = [
    path("executions/", views.execution_list, name="list"),
    path("executions/new/", views.new, name="new"),
    path("executions/<uuid:pk>/", views.detail, name="detail"),
    path("executions/<uuid:pk>/cancel/", views.cancel, name="cancel"),
    path("executions/<uuid:pk>/pause/", views.pause, name="pause"),
    path("executions/<uuid:pk>/resume/", views.resume, name="resume"),
    path("executions/<uuid:pk>/rerun/", views.rerun, name="rerun"),
    path("executions/<uuid:pk>/tasks/<uuid:task_pk>/release/", views.release, name="release"),
    path("executions/<uuid:pk>/tasks/<uuid:task_pk>/undo/", views.undo, name="undo"),
]
