"""Addresses of executions under the API's base."""

from django.urls import path

from executions import api

urlpatterns = [
    path("executions", api.executions),
    path("executions/<uuid:pk>", api.execution),
]
