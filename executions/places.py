"""Which executions of a pipeline have a place: ``Pipeline.concurrency`` of them run side by side,
the others are QUEUED. Every answer holds for as long as the pipeline is locked.

A rollback passes those for which there is no place, where only executions that wait for their own
rollbacks are in its way (docs/decisions/0012-rollbacks-and-places.md).
"""

from __future__ import annotations

from codestream.core.prepared import Prepared
from executions.models import Execution
from executions.states import Status
from pipelines.models import Pipeline

_ACTIVE_STATUSES = Prepared(
    lambda pipeline: (
        Execution.objects.active()
        .filter(pipeline=pipeline)
        .order_by()
        .values_list("status", flat=True)
    )
)
_QUEUED = Prepared(
    lambda pipeline: (
        Execution.objects.queued().filter(pipeline=pipeline).values_list("pk", flat=True)[:1]
    )
)
_FIRST_QUEUED = Prepared(
    lambda pipeline: (
        Execution.objects.queued().filter(pipeline=pipeline).select_for_update(no_key=True)[:1]
    )
)
_FIRST_QUEUED_ROLLBACK = Prepared(
    lambda pipeline: (
        Execution.objects.queued()
        .filter(pipeline=pipeline, source=Execution.Source.ROLLBACK)
        .select_for_update(no_key=True)[:1]
    )
)


def has_queued(pipeline: Pipeline) -> bool:
    """Whether an execution waits for a place."""
    return bool(_QUEUED.all(pipeline.pk))


def has_a_place_for(execution: Execution, pipeline: Pipeline) -> bool:
    """Whether the execution may run beside those that do."""
    return _has_a_place(execution, pipeline, _ACTIVE_STATUSES.all(pipeline.pk))


def next_queued(pipeline: Pipeline) -> Execution | None:
    """Return the one that has waited longest of those that have a place now, locked."""
    first = _FIRST_QUEUED.first(pipeline.pk)
    if first is None:
        return None
    active = _ACTIVE_STATUSES.all(pipeline.pk)
    if _has_a_place(first, pipeline, active):
        return first
    # There is none for the first; a rollback may have one beside those that are rolling back.
    rollback = _FIRST_QUEUED_ROLLBACK.first(pipeline.pk) if Status.ROLLING_BACK in active else None
    return rollback if rollback and _has_a_place(rollback, pipeline, active) else None


def _has_a_place(execution: Execution, pipeline: Pipeline, active: list[str]) -> bool:
    """Whether there is a place beside executions in these states. For a rollback those that are
    rolling back do not count: they wait for rollbacks themselves, and two pipelines that roll each
    other back would wait for ever.
    """
    is_rollback = execution.source == Execution.Source.ROLLBACK
    rolling_back = active.count(Status.ROLLING_BACK) if is_rollback else 0
    return len(active) - rolling_back < pipeline.concurrency
