"""The addresses that registries call."""

from __future__ import annotations

from django.urls import re_path

from webhooks.intake import RegistryWebhookListener

UUID = r"(?P<listener_id>[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})"
receive = RegistryWebhookListener.as_view()

urlpatterns = [
    re_path(rf"^codestream/api/registry-webhook-listeners/{UUID}/?$", receive, name="listener"),
    re_path(rf"^pipeline/api/registry-webhooks/{UUID}/?$", receive),
    re_path(r"^pipelines/api/docker-hub-webhooks/?$", receive),
]
