"""Claimable rows: a row says when it wants attention, a worker claims it under a lease, does one
short step and lets go. What a step does is the business of the app that registers it.

The fence is ``epoch``: every claim adds one, and a result is written only under the epoch of its
own claim, so a worker that lost its lease changes nothing; nothing outside either, if its step asks
``require_held`` before.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from django.db import models, transaction
from django.db.models import F, Q

from codestream.core import hints
from codestream.core.clock import by_database_clock, database_now
from codestream.core.prepared import Prepared
from codestream.core.rows import unsynced, update, update_unsynced

LEASE = timedelta(seconds=30)
"""How long a claim lasts unless it is renewed; longer than any single I/O time-out of a step."""

Living = Callable[[], models.QuerySet[Any]]
"""Asks for the keys of the workers that live."""


class LeaseLostError(Exception):
    """Another worker has taken the row over; whatever was about to be written or sent is void."""


class Claimable(models.Model):
    """A row that wants attention at ``wake_at`` (never, when null).

    ``wake_seq`` counts how often it was woken, ``epoch`` how often it was claimed; ``attempts``
    are the claims since its app last set them to 0. ``lease_*`` say who holds it, since when.
    """

    moment: datetime
    """What time it was for the database at the claim; on the row of a ``Claim`` only."""
    claimed: float
    """The same by the clock that nobody sets, ``time.monotonic``."""
    wake_at = models.DateTimeField(null=True, blank=True, editable=False)
    wake_seq = models.PositiveBigIntegerField(default=0, editable=False)
    lease_until = models.DateTimeField(null=True, blank=True, editable=False)
    leased_at = models.DateTimeField(null=True, blank=True, editable=False)
    lease_owner = models.UUIDField(null=True, blank=True, editable=False)
    epoch = models.PositiveBigIntegerField(default=0, editable=False)
    attempts = models.PositiveIntegerField(default=0, editable=False)

    class Meta:
        abstract = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One worker's hold on one row: which epoch, and how often the row had been woken by then.

    ``row`` is how it stood at that moment; ``takeover`` says that a worker before this one was
    lost in the middle of a step.
    """

    model: type[Claimable]
    pk: uuid.UUID
    epoch: int
    wake_seq: int
    attempts: int
    row: Any
    takeover: bool = False


def nothing_else(_row: Any) -> dict[str, str]:
    """Rows of most kinds are about themselves only."""
    return {}


def no_target(_row: Any) -> str:
    """Rows of most kinds speak to nobody outside, or one at a time."""
    return ""


def no_line(_of: Any) -> uuid.UUID | None:
    """Rows of most kinds are not in a line."""
    return None


def not_known() -> datetime | None:
    """Of most kinds nothing tells when they were done last."""
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkKind:
    """A kind of claimable row, the step that a worker does for it, and what becomes of the row
    when a fault of ours ended the step.

    ``related`` is what a step needs besides the row. ``about`` names, for the log, what else a row
    belongs to. ``target`` names the outside system that its step speaks to, of which one that hangs
    shall not take every thread. ``turn`` narrows the rows to those whose turn it is, for a kind
    whose rows stand in a line; ``next_in_line`` names the row whose turn comes when the claimed one
    is done, ``first_in_line`` that whose turn it is in the line of the row with this key.
    ``last_done`` tells when any row of the kind was done last, for one that is done all the time.
    """

    name: str
    model: type[Claimable]
    step: Callable[[Claim], None]
    fail: Callable[[Claim, str], None]
    related: tuple[str, ...] = ()
    about: Callable[[Any], dict[str, str]] = nothing_else
    target: Callable[[Any], str] = no_target
    turn: Callable[[], Q] = Q
    next_in_line: Callable[[Claim], uuid.UUID | None] = no_line
    first_in_line: Callable[[uuid.UUID], uuid.UUID | None] = no_line
    last_done: Callable[[], datetime | None] = not_known

    def rows(self) -> models.QuerySet[Any]:
        """Read rows together with what a step needs besides."""
        rows = self.model._default_manager.all()
        return rows.select_related(*self.related) if self.related else rows


_kinds: dict[str, WorkKind] = {}


def register(kind: WorkKind) -> None:
    """Let workers do this kind of work."""
    _kinds[kind.name] = kind


def registered() -> tuple[WorkKind, ...]:
    """Return every kind of work, in the order of registration."""
    return tuple(_kinds.values())


def kind_named(name: str) -> WorkKind | None:
    """Return the kind of that name; None for one that this release does not know."""
    return _kinds.get(name)


def wake(model: type[Claimable], pk: uuid.UUID, *, at: datetime | None = None) -> None:
    """Ask for attention, now or at a time; the only way to schedule. Works in any transaction."""
    rows = model._default_manager.filter(pk=pk)
    wake_at = by_database_clock(at) if at else database_now()
    rows.update(wake_at=wake_at, wake_seq=F("wake_seq") + 1)
    if at is None:
        announce(model, pk)


def wake_all(rows: models.QuerySet[Any]) -> int:
    """Ask for attention to many rows at once, without hints: the sweeps find them."""
    return rows.update(wake_at=database_now(), wake_seq=F("wake_seq") + 1)


def put_off(model: type[Claimable], pk: uuid.UUID, *, until: datetime) -> None:
    """Leave a row that is due, and that cannot even be claimed, alone for a while."""
    rows = model._default_manager.filter(pk=pk, wake_at__lte=database_now())
    rows.update(wake_at=by_database_clock(until))


def announce(model: type[Claimable], pk: uuid.UUID, *, line: str = "") -> None:
    """Tell a worker, once the transaction is over, that this row wants attention, or the ``line``
    in which it stands.
    """
    kind = next((kind for kind in _kinds.values() if kind.model is model), None)
    if kind is not None:
        hints.give(kind.name, pk, line=line)


def due(kind: WorkKind, *, alive: Living, limit: int) -> list[tuple[datetime, Any]]:
    """Return ``(wake_at, key)`` of rows that want attention and that no living worker holds,
    oldest first.
    """
    return list(due_rows(kind, alive=alive)[:limit])


def due_rows(kind: WorkKind, *, alive: Living) -> models.QuerySet[Any, Any]:
    """Ask for the same without a limit."""
    rows = kind.model._default_manager.filter(claimable(alive), kind.turn())
    return rows.order_by("wake_at").values_list("wake_at", "pk")


def claim(kind: WorkKind, pk: uuid.UUID, *, owner: uuid.UUID, alive: Living) -> Claim | None:
    """Take the row under a lease; None when it does not want attention, or somebody was faster.

    Compare and set: the epoch that was looked at is the one that is replaced, and its worker, if
    it had one, holds it still; one thought dead may have written its result meanwhile. A claim need
    not survive a power cut: neither does the worker.
    """
    row = _in_turn(kind).first(pk)
    if row is None or not _may_be_claimed(row, alive):
        return None
    row.claimed = time.monotonic()
    taken = update_unsynced(
        kind.model,
        {"id": pk, "epoch": row.epoch, "lease_owner": row.lease_owner},
        lease_until=database_now(plus=LEASE),
        leased_at=database_now(),
        lease_owner=owner,
        epoch=row.epoch + 1,
        attempts=row.attempts + 1,
    )
    if not taken:
        return None
    return Claim(
        model=kind.model,
        pk=pk,
        epoch=row.epoch + 1,
        wake_seq=row.wake_seq,
        attempts=row.attempts + 1,
        row=row,
        takeover=row.lease_owner is not None,
    )


@lru_cache
def _in_turn(kind: WorkKind) -> Prepared[Any]:
    """The question how a row stands, if it is its turn, and what time it is."""
    return Prepared(
        lambda pk: kind.rows().order_by().filter(kind.turn(), pk=pk).annotate(moment=database_now())
    )


def present(row: Claimable) -> datetime:
    """What time it is for the database by now, reckoned from the claim of the row."""
    return row.moment + timedelta(seconds=time.monotonic() - row.claimed)


def held(claim: Claim) -> models.QuerySet[Any]:
    """Ask for the row for as long as the claim holds it."""
    rows = claim.model._default_manager.filter(pk=claim.pk, epoch=claim.epoch)
    return rows.filter(lease_owner__isnull=False)


def require_held(claim: Claim) -> None:
    """Raise LeaseLostError when the claim does not hold the row any more: for whoever is about to
    change something outside, which no transaction takes back (docs/decisions/0024).
    """
    if not held(claim).exists():
        raise LeaseLostError("Another worker has taken this over.")


def renew(claim: Claim) -> bool:
    """Prolong the lease; False when it is lost, or was let go."""
    return held(claim).update(lease_until=database_now(plus=LEASE)) == 1


def release(claim: Claim, *, wake_at: datetime | None = None) -> None:
    """Give the row back without a result, to be looked at again at once or at ``wake_at``.

    Nothing happens when it was given back before: a commit may have failed only by its answer.
    """
    changes = {"wake_at": by_database_clock(wake_at)} if wake_at else {}
    held(claim).update(lease_until=None, leased_at=None, lease_owner=None, **changes)


def held_epoch(model: type[Claimable], pk: uuid.UUID, *, owner: uuid.UUID) -> int | None:
    """Under which epoch the worker holds the row; None when it does not."""
    mine = model._default_manager.filter(pk=pk, lease_owner=owner)
    return mine.values_list("epoch", flat=True).first()


def abandon(model: type[Claimable], pk: uuid.UUID, *, epoch: int) -> None:
    """Give back a row whose claim is not known any more, as ``release`` does."""
    rows = model._default_manager.filter(pk=pk, epoch=epoch)
    rows.update(lease_until=None, leased_at=None, lease_owner=None)


@contextmanager
def finishing(
    claim: Claim, *, wake_at: datetime | None, may_be_lost: bool = False
) -> Iterator[None]:
    """Open the transaction in which the result of a step is written, under the claim's epoch.

    The row is given back first. Raises LeaseLostError, and so writes nothing at all, when another
    worker has claimed it meanwhile. ``may_be_lost``: see ``finish``.
    """
    with unsynced() if may_be_lost else nullcontext(), transaction.atomic():
        finish(claim, wake_at=wake_at, may_be_lost=may_be_lost)
        yield


def finish(claim: Claim, *, wake_at: datetime | None, may_be_lost: bool = False) -> None:
    """Give the row back, in the transaction in which the result is written, before it is.

    It sleeps until ``wake_at`` (for ever when None), or is due at once when somebody woke it while
    the step was under way. Raises LeaseLostError, which has to end the transaction.

    ``may_be_lost``: commit without waiting for the disk. To lose the result in a power cut is as if
    the worker had been killed before it wrote it: the step is done again (docs/decisions/0020).
    The transaction has to be ``unsynced``.
    """
    write = update_unsynced if may_be_lost else update
    mine = {"id": claim.pk, "epoch": claim.epoch}
    released = {"lease_until": None, "leased_at": None, "lease_owner": None}
    asleep_until = by_database_clock(wake_at) if wake_at else None
    quiet = {**mine, "wake_seq": claim.wake_seq}
    if not write(claim.model, quiet, wake_at=asleep_until, **released):
        if not write(claim.model, mine, wake_at=database_now(), **released):
            raise LeaseLostError("Another worker has taken this over.")
        announce(claim.model, claim.pk)


def claimable(alive: Living) -> Q:
    """Wants attention, and is free, run out, held by a worker that is gone, or held beyond any
    lease (a clock was set back).
    """
    moment = database_now()
    return Q(wake_at__lte=moment) & (
        Q(lease_until=None)
        | Q(lease_until__lt=moment)
        | Q(lease_until__gt=database_now(plus=2 * LEASE))
        | ~Q(lease_owner__in=alive())
    )


def _may_be_claimed(row: Any, alive: Living) -> bool:
    """Say the same of one row, read at ``row.moment`` by the database's clock."""
    if row.wake_at is None or row.wake_at > row.moment:
        return False
    if row.lease_until is None or not row.moment <= row.lease_until <= row.moment + 2 * LEASE:
        return True
    return not alive().filter(pk=row.lease_owner).exists()
