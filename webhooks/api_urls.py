"""Addresses of deliveries under the API's base, and the receivers that registries call."""

from django.urls import path, re_path

from webhooks import api
from webhooks.intake import RegistryWebhookListener

UUID = r"(?P<listener_id>[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})"
receive = RegistryWebhookListener.as_view()

urlpatterns = [
    path("registry-events", api.registry_events),
    path("registry-events/<uuid:pk>", api.registry_event),
]
receivers = [
    re_path(rf"^codestream/api/registry-webhook-listeners/{UUID}/?$", receive, name="listener"),
    re_path(rf"^pipeline/api/registry-webhooks/{UUID}/?$", receive),
    re_path(r"^pipelines/api/docker-hub-webhooks/?$", receive),
]
