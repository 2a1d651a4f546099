"""The deliveries that were refused before they were written down: their sender did not show the
secret, or sent what is not read. Only counts are kept of them, one for each reason and minute.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from uuid import UUID

from django.db.models import F, OuterRef, QuerySet, Subquery

from codestream.core.clock import now
from codestream.core.keyset import Page, ranges, read_rows, united
from webhooks.models import DockerWebhook, RefusedDelivery

SHOWN_FOR = timedelta(days=1)


def last_refusals(webhooks: QuerySet[DockerWebhook], *, most: int) -> list[RefusedDelivery]:
    """What was refused of the webhooks within a day, newest first."""
    recent = RefusedDelivery.objects.filter(created_at__gt=now() - SHOWN_FOR)
    concerned = _last_refused(webhooks, recent, most=most)
    newest = united(ranges(recent, {"webhook": concerned}), limit=most)
    rows = RefusedDelivery.objects.select_related("webhook")
    return read_rows(rows, Page(keys=tuple(key for key, _row in newest)))


def _last_refused(
    webhooks: QuerySet[DockerWebhook], recent: QuerySet[RefusedDelivery], *, most: int
) -> list[UUID]:
    """The webhooks of which something was refused last; the newest refusals are all of these."""
    of_one = recent.filter(webhook=OuterRef("pk")).order_by("-created_at", "-id")
    asked = webhooks.order_by().annotate(last=Subquery(of_one.values("created_at")[:1]))
    found = asked.order_by(F("last").desc(nulls_last=True)).values_list("pk", "last")
    return [webhook for webhook, last in found[:most] if last is not None]


def last_refusal_of_each(webhooks: Collection[UUID]) -> dict[UUID | None, RefusedDelivery]:
    """What was refused last of each webhook within a day."""
    rows = RefusedDelivery.objects.filter(webhook=OuterRef("pk"), created_at__gt=now() - SHOWN_FOR)
    last = rows.order_by("-created_at", "-id").values("pk")[:1]
    asked = DockerWebhook.objects.filter(pk__in=webhooks).order_by().annotate(last=Subquery(last))
    found = RefusedDelivery.objects.filter(pk__in=asked.values("last"))
    return {refusal.webhook_id: refusal for refusal in found}
