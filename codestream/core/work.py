"""Claimable rows: a row says when it wants attention, a worker claims it under a lease, does one
short step and lets go. What a step does is the business of the app that registers it.

The fence is ``epoch``: every claim adds one, and a result is written only under the epoch of its
own claim, so a worker that lost its lease changes nothing.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import models, transaction
from django.db.models import F, Q

from codestream.core.clock import now
from codestream.core.errors import CodeStreamError

LEASE = timedelta(seconds=30)
"""How long a claim lasts unless it is renewed; longer than any single I/O time-out of a step."""


class LeaseLostError(CodeStreamError):
    """Another worker has taken the row over; whatever was about to be written is void."""

    code = "lease_lost"


class Claimable(models.Model):
    """A row that wants attention at ``wake_at`` (never, when null)."""

    wake_at = models.DateTimeField(null=True, blank=True, editable=False)
    wake_seq = models.PositiveBigIntegerField(default=0, editable=False)
    lease_until = models.DateTimeField(null=True, blank=True, editable=False)
    lease_owner = models.UUIDField(null=True, blank=True, editable=False)
    epoch = models.PositiveBigIntegerField(default=0, editable=False)
    attempts = models.PositiveIntegerField(default=0, editable=False)

    class Meta:
        abstract = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One worker's hold on one row: which epoch, and how often the row had been woken by then."""

    model: type[Claimable]
    pk: uuid.UUID
    epoch: int
    wake_seq: int
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkKind:
    """A kind of claimable row, the step that a worker does for it, and what becomes of the row
    when a fault of ours ended the step.
    """

    name: str
    model: type[Claimable]
    step: Callable[[Claim], None]
    fail: Callable[[Claim, str], None]


_kinds: dict[str, WorkKind] = {}


def register(kind: WorkKind) -> None:
    """Let workers do this kind of work."""
    _kinds[kind.name] = kind


def registered() -> tuple[WorkKind, ...]:
    """Return every kind of work, in the order of registration."""
    return tuple(_kinds.values())


def wake(rows: models.QuerySet[Any], *, at: datetime | None = None) -> int:
    """Ask for attention, now or at a time; the only way to schedule. Works in any transaction."""
    return rows.update(wake_at=at or now(), wake_seq=F("wake_seq") + 1)


def due(kind: WorkKind, *, alive: frozenset[uuid.UUID], limit: int) -> list[uuid.UUID]:
    """Return keys of rows that want attention and are held by no living worker, oldest first."""
    rows = kind.model._default_manager.filter(_claimable(alive), wake_at__lte=now())
    return list(rows.order_by("wake_at").values_list("pk", flat=True)[:limit])


def claim(
    kind: WorkKind, pk: uuid.UUID, *, owner: uuid.UUID, alive: frozenset[uuid.UUID]
) -> Claim | None:
    """Take the row under a lease by one conditional update; None when somebody was faster."""
    rows = kind.model._default_manager.filter(pk=pk)
    with transaction.atomic():
        taken = rows.filter(_claimable(alive), wake_at__lte=now()).update(
            lease_until=now() + LEASE,
            lease_owner=owner,
            epoch=F("epoch") + 1,
            attempts=F("attempts") + 1,
        )
        if not taken:
            return None
        epoch, wake_seq, attempts = rows.values_list("epoch", "wake_seq", "attempts").get()
    return Claim(model=kind.model, pk=pk, epoch=epoch, wake_seq=wake_seq, attempts=attempts)


def renew(claim: Claim) -> bool:
    """Prolong the lease; False when it is lost."""
    rows = claim.model._default_manager.filter(pk=claim.pk, epoch=claim.epoch)
    return rows.update(lease_until=now() + LEASE) == 1


@contextmanager
def finishing(claim: Claim, *, wake_at: datetime | None) -> Iterator[None]:
    """Open the transaction in which the result of a step is written, under the claim's epoch.

    Lets the row go first: it sleeps until ``wake_at`` (for ever when None), or is due at once
    when somebody woke it while the step was under way. Raises LeaseLostError, and so writes
    nothing at all, when the row was claimed by another worker meanwhile.
    """
    with transaction.atomic():
        rows = claim.model._default_manager.filter(pk=claim.pk, epoch=claim.epoch)
        released = {"lease_until": None, "lease_owner": None}
        quiet = rows.filter(wake_seq=claim.wake_seq).update(wake_at=wake_at, **released)
        if not quiet and not rows.update(wake_at=now(), **released):
            raise LeaseLostError("Another worker has taken this over.")
        yield


def _claimable(alive: frozenset[uuid.UUID]) -> Q:
    """Free, run out, held by a worker that is gone, or held beyond any lease (a clock set back)."""
    moment = now()
    return (
        Q(lease_until=None)
        | Q(lease_until__lt=moment)
        | Q(lease_until__gt=moment + 2 * LEASE)
        | ~Q(lease_owner__in=alive)
    )
