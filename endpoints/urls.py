"""Addresses of the endpoint pages."""

from __future__ import annotations

from django.urls import path

from endpoints import views

app_name = "endpoints"

urlpatterns = [
    path("endpoints/", views.endpoint_list, name="list"),
    path("endpoints/new/", views.new, name="new"),
    path("endpoints/address/", views.address, name="address"),
    path("endpoints/<uuid:pk>/", views.edit, name="edit"),
    path("endpoints/<uuid:pk>/validate/", views.validate, name="validate"),
    path("endpoints/<uuid:pk>/delete/", views.delete, name="delete"),
]
