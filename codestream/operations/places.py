"""Lets a worker look, every minute, whether executions wait although there is a place for them.

Whoever ends an execution gives its place away in the same transaction. This is for what went wrong
there: a fault of ours, or a worker of the release before that knows nothing of a new rule.
"""

from __future__ import annotations

import logging
import random
from datetime import timedelta
from uuid import UUID

from django.db import transaction

from codestream.core.database_trouble import OUTAGES
from codestream.operations.chores import Outcome, OutOfTime, PeriodicWork
from executions.engine import admit
from executions.models import Execution
from executions.run import lock_pipeline

logger = logging.getLogger(__name__)


def look(out_of_time: OutOfTime) -> Outcome:
    """Look at one pipeline after another while there is time."""
    waiting = Execution.objects.queued().exclude(pipeline=None).order_by()
    keys = list(waiting.values_list("pipeline", flat=True).distinct())
    random.shuffle(keys)  # should there be no time for all, others come first the next time
    looked = faults = 0
    for pk in keys:
        if out_of_time():
            break
        try:
            while _let_in(pk) and not out_of_time():
                pass
        except OUTAGES:
            raise
        except Exception:
            logger.exception("Pipeline %s: nobody of its queue can be let in.", pk)
            faults += 1
        looked += 1
    message = f"{looked} of {len(keys)} pipelines with a queue looked at."
    if faults:
        message += f" {faults} of them with a fault: see the log."
    return Outcome(message=message)


def _let_in(key: UUID) -> bool:
    """Let in who has a place in the pipeline with this key; return whether there are more."""
    with transaction.atomic():
        pipeline = lock_pipeline(key)
        return pipeline is not None and admit(pipeline)


FREE_PLACES = PeriodicWork(name="free places", every=timedelta(minutes=1), run=look)
