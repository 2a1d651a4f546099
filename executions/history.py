"""The append-only story of an execution; every change of state adds a line in its transaction."""

from __future__ import annotations

from django.db.models import F

from codestream.core.clock import now
from executions.models import Execution, ExecutionEvent, TaskRun


def record(
    execution: Execution,
    kind: str,
    *,
    subject: str,
    task_run: TaskRun | None = None,
    from_status: str = "",
    to_status: str = "",
    actor: str = "",
    message: str = "",
) -> None:
    """Add an event and move the execution's version, which is what live pages watch."""
    ExecutionEvent.objects.create(
        execution=execution,
        task_run=task_run,
        kind=kind,
        subject=subject,
        from_status=from_status,
        to_status=to_status,
        actor=actor,
        message=message,
        at=now(),
    )
    Execution.objects.filter(pk=execution.pk).update(version=F("version") + 1)
