"""Finds the webhook that a page is about, for somebody who may see or change it."""

from __future__ import annotations

from uuid import UUID

from django.shortcuts import get_object_or_404

from codestream.accounts.models import User
from codestream.projects.permissions import Action, require
from webhooks.models import DockerWebhook


def visible_webhook(user: User, pk: UUID) -> DockerWebhook:
    """The webhook with its hooks in Docker Hub; 404 for an outsider."""
    found = DockerWebhook.objects.visible_to(user).select_related("project", "endpoint")
    return get_object_or_404(found.prefetch_related("remote_hooks__endpoint"), pk=pk)


def writable_webhook(user: User, pk: UUID) -> DockerWebhook:
    """The same, 403 for who may not change it."""
    webhook = visible_webhook(user, pk)
    require(user, Action.WRITE, webhook.project)
    return webhook
