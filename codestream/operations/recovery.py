"""Lets a worker look for pushes whose delivery never came, every minute for whose turn it is."""

from __future__ import annotations

from datetime import timedelta

from codestream.core.clock import now
from codestream.operations.chores import Outcome, OutOfTime, PeriodicWork
from webhooks.models import DockerWebhook
from webhooks.recovery import look_for_pushes


def look(out_of_time: OutOfTime) -> Outcome:
    """Look at one repository after another while there is time."""
    found = looked = 0
    for webhook in DockerWebhook.objects.to_look_for(now()).select_related("endpoint", "project"):
        if out_of_time():
            return Outcome(message=f"{looked} repositories looked at, {found} found.", more=True)
        found += look_for_pushes(webhook=webhook)
        looked += 1
    return Outcome(message=f"{looked} repositories looked at, {found} pushes found.")


LOST_PUSHES = PeriodicWork(name="lost pushes", every=timedelta(minutes=1), run=look)
