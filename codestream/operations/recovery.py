"""Lets a worker look for pushes whose delivery never came, every minute for whose turn it is, and
for all of them after a time in which no worker was there: then deliveries may have met nobody.
"""

from __future__ import annotations

from datetime import timedelta

from codestream.core.clock import now
from codestream.operations.chores import Outcome, OutOfTime, PeriodicWork
from codestream.operations.models import Chore
from executions.models import Worker
from executions.workers import living_workers
from webhooks.models import DockerWebhook
from webhooks.recovery import look_for_pushes


def look(out_of_time: OutOfTime) -> Outcome:
    """Look at one repository after another while there is time."""
    found = looked = 0
    if _nobody_was_there():
        DockerWebhook.objects.look_soon(now())
    for webhook in DockerWebhook.objects.to_look_for(now()).select_related("endpoint", "project"):
        if out_of_time():
            return Outcome(message=f"{looked} repositories looked at, {found} found.", more=True)
        found += look_for_pushes(webhook=webhook)
        looked += 1
    return Outcome(message=f"{looked} repositories looked at, {found} pushes found.")


def _nobody_was_there() -> bool:
    """Whether every worker that lives began after the last look."""
    looks = Chore.objects.filter(name=LOST_PUSHES.name).values_list("last_run_at", flat=True)
    starts = Worker.objects.filter(pk__in=living_workers()).values_list("created_at", flat=True)
    last, first = looks.first(), starts.order_by("created_at").first()
    return last is not None and first is not None and first > last


LOST_PUSHES = PeriodicWork(name="lost pushes", every=timedelta(minutes=1), run=look)
