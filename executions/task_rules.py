"""What the definition of a task says of its run: how long it may take, and how it fails."""

from __future__ import annotations

from datetime import timedelta

from executions.models import Execution, TaskRun
from executions.run import Run, definition_of_execution, definition_of_task
from executions.states import Status
from pipelines.definition import DefinitionError

DEFAULT_TIMEOUT = timedelta(minutes=5)
LONGEST_MINUTES = 366 * 24 * 60


def timeout_of(task: TaskRun) -> timedelta:
    """How long the task may take, as its definition says in minutes; absurd ones are cut short."""
    text = str(definition_of_task(task).input.get("timeout", "")).strip()
    digits = text.lstrip("0") if text.isascii() and text.isdecimal() else ""
    if not digits:
        return DEFAULT_TIMEOUT
    is_absurd = len(digits) > len(str(LONGEST_MINUTES))
    minutes = LONGEST_MINUTES if is_absurd else int(digits)
    return timedelta(minutes=min(minutes, LONGEST_MINUTES))


def failure_of(run: Run, task: TaskRun) -> Status:
    """How the task fails: for good, with a rollback, or so that the rest goes on."""
    try:
        if definition_of_task(task).ignore_failure:
            return Status.FAILED_CONTINUE
    except DefinitionError:
        return Status.FAILED
    begun = task.status in {Status.STARTED, Status.RUNNING, Status.WAITING}
    is_rollback = run.execution.source == Execution.Source.ROLLBACK
    rollback = definition_of_execution(run.execution).rollback_of(task.stage_run.name, task.name)
    return Status.ROLLING_BACK if rollback and begun and not is_rollback else Status.FAILED
