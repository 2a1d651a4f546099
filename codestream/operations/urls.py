"""Addresses for machines; none of them knows a session or an account."""

from __future__ import annotations

from django.urls import path

from codestream.operations import views

app_name = "operations"

urlpatterns = [
    path("healthz", views.alive, name="alive"),
    path("readyz", views.ready, name="ready"),
    path("metrics", views.metrics, name="metrics"),
]
