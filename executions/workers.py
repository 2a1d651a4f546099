"""How the workers stand: which live, and what each has its hands on. Reads only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Exists, OuterRef, QuerySet
from django.urls import reverse

from codestream.core.clock import database_now
from codestream.core.work import WorkKind, registered
from executions.models import Worker

DEAD_AFTER = timedelta(seconds=2.5)
"""What a killed worker held is taken over so long after its last beat, by the next sweep. The
difference to a beat, two seconds, is what a busy machine or a lock may cost a worker that lives: if
one passes for dead all the same, its epoch keeps it from writing, and the step is done twice.
"""
MOST_HELD = 100
"""Of each kind; a worker holds no more than it has threads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """One row under a worker's lease: its kind, its name, its page in the administration."""

    kind: str
    name: str
    address: str
    since: datetime


def living_workers() -> QuerySet[Worker, Any]:
    """Ask for the keys of the workers whose heart has beaten in the last seconds.

    A heartbeat in the future is none: it was written before a clock was set back.
    """
    return Worker.objects.filter(
        heartbeat_at__gt=database_now(plus=-DEAD_AFTER),
        heartbeat_at__lt=database_now(plus=DEAD_AFTER),
    ).values("pk")


def no_workers() -> QuerySet[Worker, Any]:
    """Ask for none, where what anybody holds may be taken."""
    return Worker.objects.none().values("pk")


def with_life(workers: QuerySet[Worker]) -> QuerySet[Any]:
    """Read with each worker whether it ``lives``, and what time it is (``moment``), both by the
    database's clock, as its heartbeat is.
    """
    return workers.annotate(
        lives=Exists(living_workers().filter(pk=OuterRef("pk"))), moment=database_now()
    )


def held_by(worker: Worker) -> list[Held]:
    """Return the rows of every kind that the worker has claimed, longest first."""
    found = [_held(kind, row) for kind in registered() for row in _rows(kind, worker)]
    return sorted(found, key=lambda held: held.since)


def _rows(kind: WorkKind, worker: Worker) -> list[Any]:
    """Read by the index of rows that wait: a claimed row is one of them until its step ends."""
    rows = kind.rows().filter(wake_at__isnull=False, lease_owner=worker.pk)
    return list(rows.order_by("wake_at")[:MOST_HELD])


def _held(kind: WorkKind, row: Any) -> Held:
    place = f"admin:{row._meta.app_label}_{row._meta.model_name}_change"
    return Held(
        kind=kind.name,
        name=str(row),
        address=reverse(place, args=[row.pk]),
        since=row.leased_at or row.updated_at,
    )
