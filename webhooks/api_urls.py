"""Addresses of deliveries under the API's base."""

from django.urls import path

from webhooks import api

urlpatterns = [
    path("registry-events", api.registry_events),
    path("registry-events/<uuid:pk>", api.registry_event),
]
