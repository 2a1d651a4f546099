"""Finds pushes whose delivery never came: Docker Hub does not send one again.

One call a repository tells when each tag was pushed last. What has no delivery is written down as
a recovered one and judged like all others; if the delivery comes after all, it is a duplicate.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef

from codestream.core.clock import database_now, now
from codestream.core.errors import CodeStreamError
from codestream.core.words import Words, gettext_noop
from codestream.core.work import announce
from endpoints.clients.base import ClientError
from endpoints.clients.dockerhub import HubTag
from endpoints.kinds import docker_hub, repository_of
from webhooks.models import DockerWebhook, Push, RegistryEvent
from webhooks.services import Addressee, new_event

ON_THE_WAY = timedelta(minutes=2)
"""How long a delivery may take, and how far Docker Hub's clock may be from ours."""


def look_for_pushes(*, webhook: DockerWebhook) -> int:
    """Look once at the tags of the webhook's repository; return how many pushes were found.

    Never raises for Docker Hub: what went wrong stands on the card, and the next look comes when
    Docker Hub allows it.
    """
    if RegistryEvent.objects.pending().filter(webhook=webhook).exists():
        # What waits for its verdict has not said yet which tag it is about.
        soon = now() + ON_THE_WAY
        DockerWebhook.objects.note_look(webhook, look_at=soon, message=webhook.look_message)
        return 0
    next_look = now() + settings.RECOVERY_EVERY
    try:
        place = repository_of(webhook.endpoint)
        with docker_hub(webhook.endpoint) as hub:
            tags = hub.latest_tags(place.namespace, place.repository)
    except CodeStreamError as error:
        retry_at = error.retry_at if isinstance(error, ClientError) else None
        next_look = max(next_look, retry_at or next_look)
        DockerWebhook.objects.note_look(webhook, look_at=next_look, message=error.words)
        return 0
    try:
        return _write_down_lost(webhook, str(place), tags, next_look)
    except IntegrityError:
        if DockerWebhook.objects.filter(pk=webhook.pk).exists():
            raise
        # It was deleted under the look, and nothing can refer to it any more.
        return 0


def _write_down_lost(
    webhook: DockerWebhook, image: str, tags: Sequence[HubTag], next_look: datetime
) -> int:
    with transaction.atomic():
        untold = [tag for tag in tags if _is_untold(webhook, image, tag)]
        lost = [tag for tag in untold if tag.pushed_at < now() - ON_THE_WAY]
        if len(lost) < len(untold):
            next_look = min(next_look, now() + ON_THE_WAY)
        for tag in lost:
            _write_down(webhook, image, tag)
        message = Words(
            gettext_noop("%(tags)s tags looked at, %(lost)s without a delivery."),
            {"tags": len(tags), "lost": len(lost)},
        )
        DockerWebhook.objects.note_look(webhook, look_at=next_look, message=message)
    return len(lost)


def _is_untold(webhook: DockerWebhook, image: str, tag: HubTag) -> bool:
    """Whether no delivery has told of the last push of the tag; it may be on its way still."""
    since = webhook.recover_since
    if since is None or tag.pushed_at <= since or _may_be_forgotten(tag):
        return False
    told = RegistryEvent.objects.filter(webhook=webhook, tag=tag.name)
    told = told.exclude(source=RegistryEvent.Source.RERUN)
    # Upwards: its delivery is among the first since then.
    since_then = told.filter(created_at__gte=tag.pushed_at).order_by("created_at", "pk")
    if since_then.values("pk").first() is not None or _is_current(webhook, image, tag):
        return False
    # The clocks may differ, but a delivery with another digest was of another push.
    early = told.filter(created_at__gte=tag.pushed_at - ON_THE_WAY, created_at__lt=tag.pushed_at)
    return not (early.filter(digest__in=("", tag.digest)) if tag.digest else early).exists()


def _may_be_forgotten(tag: HubTag) -> bool:
    """Whether the delivery of its last push would be deleted by now (``operations.retention``)."""
    days = settings.RETENTION_EVENTS_DAYS
    return bool(days) and tag.pushed_at < now() - timedelta(days=days) + ON_THE_WAY


def _is_current(webhook: DockerWebhook, image: str, tag: HubTag) -> bool:
    """Whether this is the last push of the tag that is known here, which outlives its deliveries.
    Where no digest was asked for, it is one that was written down later, when those are gone.
    """
    known = Push.objects.current().filter(webhook=webhook, repository=image, tag=tag.name)
    if tag.digest and known.filter(digest=tag.digest).exists():
        return True
    later = known.filter(digest="", created_at__gte=tag.pushed_at)
    return later.exclude(Exists(RegistryEvent.objects.filter(push=OuterRef("pk")))).exists()


def _write_down(webhook: DockerWebhook, image: str, tag: HubTag) -> None:
    event = new_event(Addressee.of(webhook), _body(image, tag))
    event.source, event.wake_at = RegistryEvent.Source.RECOVERED, database_now()
    # Known before it is judged, so that the next look does not find it again.
    event.tag, event.digest = tag.name, tag.digest
    event.save(force_insert=True)
    announce(RegistryEvent, event.pk, line=str(webhook.pk))


def _body(image: str, tag: HubTag) -> bytes:
    """What Docker Hub would have sent, as far as it is known."""
    namespace, _, name = image.partition("/")
    return json.dumps(
        {
            "push_data": {"tag": tag.name, "pushed_at": _seconds(tag.pushed_at)},
            "repository": {"repo_name": image, "namespace": namespace, "name": name},
        }
    ).encode()


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())
