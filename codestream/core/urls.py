"""Addresses that belong to no application."""

from __future__ import annotations

from django.urls import path

from codestream.core import views

app_name = "core"

urlpatterns = [
    path("theme/", views.theme, name="theme"),
]
