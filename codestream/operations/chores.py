"""Runs periodic work: each chore is one row, and the worker that claims it does a short piece.

What a chore does is registered by whoever needs it. A chore that has more to do says so and comes
back at once; otherwise it sleeps until its next time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Max

from codestream.core.clock import database_now, now
from codestream.core.work import Claim, finishing
from codestream.operations.models import Chore

BUDGET_SECONDS = 5.0
"""How long one piece may last: well under a lease, and short enough to end a worker gracefully."""
PAUSE_AFTER_FAULT = timedelta(minutes=10)
PAUSE_IF_UNKNOWN = timedelta(hours=1)
"""For a chore that only a newer release knows; its workers are there or come soon."""
OutOfTime = Callable[[], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a piece of a chore came to, in words, and whether there is more to do at once."""

    message: str
    more: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodicWork:
    """Something to be done ``every`` so often. ``run`` works in small transactions and stops
    between two of them when its argument says that the time is up.
    """

    name: str
    every: timedelta
    run: Callable[[OutOfTime], Outcome]


_known: dict[str, PeriodicWork] = {}


def register(work: PeriodicWork) -> None:
    """Let workers do this periodically."""
    _known[work.name] = work


def known_chores() -> tuple[PeriodicWork, ...]:
    """Return everything that is registered."""
    return tuple(_known.values())


def ensure_chores(*, using: str) -> None:
    """Make the rows that are missing; a new one is first due after a while, not during a start."""
    rows = Chore.objects.using(using)
    for work in known_chores():
        rows.get_or_create(name=work.name, defaults={"wake_at": now() + work.every})


def run_chore(claim: Claim) -> None:
    """Do a piece of the chore and write down what it came to and when it is due again."""
    work = _known.get(claim.row.name)
    if work is None:
        with finishing(claim, wake_at=now() + PAUSE_IF_UNKNOWN):
            return
    outcome = work.run(_clock())
    wake_at = now() if outcome.more else now() + work.every
    with finishing(claim, wake_at=wake_at):
        Chore.objects.filter(pk=claim.pk).update(
            last_run_at=database_now(), message=outcome.message, failures=0, attempts=0
        )


def last_run() -> datetime | None:
    """Return when any chore was done last, by the clock of the database."""
    last: datetime | None = Chore.objects.aggregate(last=Max("last_run_at"))["last"]
    return last


def fail_chore(claim: Claim, message: str) -> None:
    """Keep a fault of ours with the chore; it is tried again after a while."""
    with finishing(claim, wake_at=now() + PAUSE_AFTER_FAULT):
        Chore.objects.filter(pk=claim.pk).update(
            last_run_at=database_now(), message=message, failures=claim.attempts
        )


def _clock() -> OutOfTime:
    deadline = time.monotonic() + BUDGET_SECONDS
    return lambda: time.monotonic() > deadline
