"""What the definition of a task says of its run: whether it starts at all, how long it may take,
and how it fails.
"""

from __future__ import annotations

from datetime import timedelta

from codestream.core.errors import CodeStreamError
from codestream.core.words import Words, gettext_noop
from executions.models import Execution, TaskRun
from executions.restricted import restricted_behind
from executions.run import Run, definition_of_execution, definition_of_task
from executions.scopes import scope_of
from executions.states import Status
from pipelines.conditions import evaluate_condition
from pipelines.definition import DefinitionError

DEFAULT_TIMEOUT = timedelta(minutes=5)
LONGEST_MINUTES = 366 * 24 * 60


class ConditionError(CodeStreamError):
    """The condition of a task cannot be evaluated."""

    code = "condition"


def is_condition_met(run: Run, task: TaskRun) -> bool:
    """Whether the task's condition lets it start. Raises ConditionError."""
    condition = definition_of_task(task).precondition
    if not condition:
        return True
    scope = scope_of(run.execution, stage=task.stage_run.name, task=task.name, tasks=run.tasks)
    try:
        return evaluate_condition(condition, scope)
    except CodeStreamError as error:
        why = {"reason": _why_unreadable(run, error)}
        raise ConditionError(Words(gettext_noop("Precondition: %(reason)s"), why)) from error


def _why_unreadable(run: Run, error: CodeStreamError) -> Words:
    """The reason in words. A task that uses what is restricted can be resumed by somebody, but a
    condition is decided before its task begins.
    """
    if things := restricted_behind(run.execution, error):
        text = gettext_noop("restricted, and not for this run: %(things)s.")
        return Words(text, {"things": ", ".join(things)})
    return error.words


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
