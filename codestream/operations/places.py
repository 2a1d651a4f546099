"""Lets a worker look, every minute, whether executions wait although there is a place for them.

Whoever ends an execution gives its place away in the same transaction. This is for what went wrong
there: a fault of ours, or a worker of the release before that knows nothing of a new rule.
"""

from __future__ import annotations

import random
from datetime import timedelta

from django.db import transaction

from codestream.operations.chores import Outcome, OutOfTime, PeriodicWork
from executions.engine import admit
from executions.models import Execution
from executions.run import lock_pipeline


def look(out_of_time: OutOfTime) -> Outcome:
    """Look at one pipeline after another while there is time."""
    waiting = Execution.objects.queued().exclude(pipeline=None).order_by()
    keys = list(waiting.values_list("pipeline", flat=True).distinct())
    random.shuffle(keys)  # should there be no time for all, others come first the next time
    looked = 0
    for pk in keys:
        if out_of_time():
            break
        with transaction.atomic():
            if pipeline := lock_pipeline(pk):
                admit(pipeline)
        looked += 1
    return Outcome(message=f"{looked} of {len(keys)} pipelines with a queue looked at.")


FREE_PLACES = PeriodicWork(name="free places", every=timedelta(minutes=1), run=look)
