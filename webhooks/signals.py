"""Mirrors every saved and deleted webhook, whoever did it: page, admin, API or shell.

Only the desired state is written here, in the same transaction; a worker talks to Docker Hub.
"""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import Q
from django.db.models.signals import post_save, pre_delete
from django.dispatch import receiver

from codestream.core.locks import lock_in_order
from endpoints.models import Endpoint
from webhooks.mirror import desire, follow, retry_endpoint, withdraw
from webhooks.models import DockerWebhook, RemoteHook


@receiver(post_save, sender=DockerWebhook, dispatch_uid="mirror saved webhook")
def mirror_saved(instance: DockerWebhook, raw: bool, **kwargs: Any) -> None:
    """Want the webhook in Docker Hub as it now stands; fixtures are taken as they are."""
    if not raw:
        desire(instance)


@receiver(post_save, sender=Endpoint, dispatch_uid="mirror saved endpoint")
@transaction.atomic
def mirror_endpoint(instance: Endpoint, raw: bool, created: bool, **kwargs: Any) -> None:
    """Follow an endpoint that points elsewhere or has new credentials."""
    if not raw and not created:
        webhooks = DockerWebhook.objects.filter(endpoint=instance)
        lock_in_order(RemoteHook.objects.filter(Q(endpoint=instance) | Q(webhook__in=webhooks)))
        follow(webhooks)
        retry_endpoint(instance)


@receiver(pre_delete, sender=DockerWebhook, dispatch_uid="mirror deleted webhook")
def mirror_deleted(instance: DockerWebhook, **kwargs: Any) -> None:
    """Want the webhook gone from Docker Hub. Before the delete, which cuts the tie to its hooks."""
    withdraw(instance.remote_hooks.all())
