"""The deliveries that were refused before they were written down: their sender did not show the
secret, or sent what is not read. Only counts are kept of them, one for each reason and minute.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from uuid import UUID

from django.db.models import OuterRef, Subquery

from codestream.core.clock import now
from codestream.core.keyset import Page, ranges, read_rows, united
from webhooks.models import DockerWebhook, RefusedDelivery

SHOWN_FOR = timedelta(days=1)


def last_refusals(webhooks: Collection[UUID], *, most: int) -> list[RefusedDelivery]:
    """What was refused of the webhooks within a day, newest first."""
    recent = RefusedDelivery.objects.filter(created_at__gt=now() - SHOWN_FOR)
    newest = united(ranges(recent, {"webhook": webhooks}), limit=most)
    rows = RefusedDelivery.objects.select_related("webhook")
    return read_rows(rows, Page(keys=tuple(key for key, _row in newest)))


def last_refusal_of_each(webhooks: Collection[UUID]) -> dict[UUID | None, RefusedDelivery]:
    """What was refused last of each webhook within a day."""
    rows = RefusedDelivery.objects.filter(webhook=OuterRef("pk"), created_at__gt=now() - SHOWN_FOR)
    last = rows.order_by("-created_at", "-id").values("pk")[:1]
    asked = DockerWebhook.objects.filter(pk__in=webhooks).order_by().annotate(last=Subquery(last))
    found = RefusedDelivery.objects.filter(pk__in=asked.values("last"))
    return {refusal.webhook_id: refusal for refusal in found}
