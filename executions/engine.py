"""Carries out what ``plan`` says: what starts next, what is over, who gets the next free place.

Only rows are touched here; the work itself is in ``executions.tasks``. The caller holds the
transaction and the locks (``run.locked``; for a new execution and for ``admit`` that of the
pipeline) and writes the Run afterwards; but ``advance`` writes before it gives a place away, and
``admit`` what it begins. The whole way of a push: docs/architecture.md.

A failed task may be rolled back by another execution, whose ``parent`` is the failed one. Until
that is over the task is ROLLING_BACK, and so is its execution when nothing else of it works. On a
first reading, skip what is about that.
"""

from __future__ import annotations

import logging
from uuid import UUID

from django.db import transaction

from codestream.core.clock import database_now
from codestream.core.errors import CodeStreamError
from codestream.core.log_context import logging_about
from codestream.core.metrics import EXECUTIONS
from codestream.core.words import Words, gettext_noop, joined
from codestream.core.work import wake
from executions.models import Execution, StageRun, TaskRun
from executions.places import next_queued
from executions.plan import ExecutionState, Plan, StageState, TaskState, plan, ready_tasks
from executions.restricted import restricted_behind
from executions.run import Row, Run, definition_of_task, load, name_of
from executions.scopes import scope_of
from executions.states import TERMINAL, Status
from executions.task_rules import failure_of, timeout_of
from pipelines.conditions import evaluate_condition
from pipelines.definition import DefinitionError
from pipelines.models import Pipeline

_COMPLETED = Words(gettext_noop("Execution Completed."))
_NOT_MET = Words(gettext_noop("The condition is not met."))
_CANCELED = gettext_noop("Execution canceled by %(user)s.")
_CANCELED_BECAUSE = gettext_noop("Execution canceled by %(user)s: %(reason)s")
logger = logging.getLogger(__name__)


def begin(run: Run) -> None:
    """Let an execution that has a place run: its first tasks begin.

    The caller writes: ``Run.create`` for a new execution, ``Run.write`` for one that has waited.
    Gives no place away where all is over at once: ``admit`` looks again itself, and a new execution
    begins only where nobody waits, or in the place of its parent.
    """
    run.change(run.execution, Status.RUNNING)
    _plan_or_break_off(run)


def advance(run: Run) -> None:
    """Look at how the execution stands and do what comes next; harmless when nothing does."""
    before = run.execution.status
    _plan_or_break_off(run)
    if run.pipeline is not None and run.execution.status != before and _gives_way(run.execution):
        # The place is free as soon as this execution's new state is written.
        run.write()
        admit(run.pipeline)


def _gives_way(execution: Execution) -> bool:
    """Whether there is room for another one now: for any, or for a rollback."""
    return execution.is_over or execution.status == Status.ROLLING_BACK


def _plan_or_break_off(run: Run) -> None:
    """Plan and carry out; an execution whose definition can no longer be read fails, so that the
    queue behind it moves on.
    """
    try:
        run.require_definition()
        _plan_and_do(run)
    except DefinitionError as error:
        unreadable = gettext_noop("The definition can no longer be read: %(reason)s")
        _break_off(run, Words(unreadable, {"reason": error.words}))


def _break_off(run: Run, message: str) -> None:
    """Fail what is under way, without asking the definition how. What has not begun stays so, as
    after any failure.
    """
    parts: tuple[Row, ...] = (*run.tasks, *run.stages)
    for row in parts:
        if row.status not in TERMINAL and row.status != Status.NOT_STARTED:
            run.change(row, Status.FAILED, message=message)
    run.change(run.execution, Status.FAILED, message=message)
    _note_if_over(run.execution)


def _plan_and_do(run: Run) -> None:
    """Ask the conditions of the tasks that are next, plan, carry out.

    Again after a condition that could not be read, which has failed its task, and after a skip: one
    plan decides one group, and no task is awake then that would plan the next.
    """
    while True:
        ready = ready_tasks(_state_of(run, {}))
        conditions = {key: _condition_or_fail(run, _task(run, key)) for key in ready}
        if any(_task(run, key).status != Status.NOT_STARTED for key in ready):
            continue  # one has failed
        todo = plan(_state_of(run, conditions))
        _do(run, todo)
        if not todo.skip:
            return


def _state_of(run: Run, conditions: dict[str, bool | None]) -> ExecutionState:
    """The execution as ``plan`` looks at it."""
    execution = run.execution
    return ExecutionState(
        status=Status(execution.status),
        stages=tuple(_stage_state(run, stage, conditions) for stage in run.stages),
        cancel_requested=execution.cancel_requested_at is not None,
        pause_requested=execution.pause_requested_at is not None,
    )


def _stage_state(run: Run, stage: StageRun, conditions: dict[str, bool | None]) -> StageState:
    groups: dict[int, list[TaskState]] = {}
    for task in run.tasks:
        if task.stage_run_id == stage.pk:
            state = TaskState(
                key=str(task.pk),
                status=Status(task.status),
                precondition=conditions.get(str(task.pk)),
            )
            groups.setdefault(task.group, []).append(state)
    ordered = tuple(tuple(groups[group]) for group in sorted(groups))
    return StageState(key=str(stage.pk), status=Status(stage.status), groups=ordered)


def _condition_or_fail(run: Run, task: TaskRun) -> bool | None:
    """Evaluate the task's condition. None: there is none, or it could not be evaluated and has
    failed the task, as its status says.
    """
    text = definition_of_task(task).precondition
    if not text:
        return None
    scope = scope_of(run.execution, stage=task.stage_run.name, task=task.name, tasks=run.tasks)
    try:
        return evaluate_condition(text, scope)
    except CodeStreamError as error:
        why = {"reason": _why_unreadable(run, error)}
        message = Words(gettext_noop("Precondition: %(reason)s"), why)
        run.change(task, failure_of(run, task), message=message)
        return None


def _why_unreadable(run: Run, error: CodeStreamError) -> Words:
    """The reason in words. A task that uses what is restricted can be resumed by somebody, but a
    condition is decided before its task begins.
    """
    if things := restricted_behind(run.execution, error):
        text = gettext_noop("restricted, and not for this run: %(things)s.")
        return Words(text, {"things": ", ".join(things)})
    return error.words


def _do(run: Run, todo: Plan) -> None:
    """Change the rows as the plan says, and wake the tasks that have something to do."""
    for key, status in todo.stage_changes:
        run.change(next(stage for stage in run.stages if str(stage.pk) == key), status)
    for key in todo.start:
        task = _task(run, key)
        run.change(task, Status.STARTED, deadline_at=database_now(plus=timeout_of(task)))
        run.wake(task)
    for key in todo.skip:
        run.change(_task(run, key), Status.SKIPPED, message=_NOT_MET)
    for key in todo.cancel_now:
        run.change(_task(run, key), Status.CANCELED)
    for key in todo.cancel:
        task = _task(run, key)
        run.change(task, Status.CANCELING, message=task.words)
        run.wake(task)
    if todo.status is not None:
        failed = _task(run, todo.failed_task) if todo.failed_task else None
        message = _message(run.execution, todo.status, failed)
        run.change(run.execution, todo.status, message=message)
        _note_if_over(run.execution)


def _message(execution: Execution, status: Status, failed: TaskRun | None) -> Words:
    if status is Status.COMPLETED:
        return _COMPLETED
    if failed is not None:
        return joined([name_of(failed), failed.words], by=": ")
    if status in {Status.CANCELED, Status.CANCELING} and execution.cancel_requested_by:
        said = {"user": execution.cancel_requested_by, "reason": execution.cancel_reason}
        return Words(_CANCELED_BECAUSE if execution.cancel_reason else _CANCELED, said)
    if status in {Status.PAUSING, Status.PAUSED} and execution.pause_requested_by:
        return Words(gettext_noop("Paused by %(user)s."), {"user": execution.pause_requested_by})
    return Words("")


def _note_if_over(execution: Execution) -> None:
    """Count and log an execution that is over, and wake those that wait for it."""
    if not execution.is_over:
        return
    transaction.on_commit(lambda: _count_and_log(execution), robust=True)
    if execution.parent_id is not None:
        _wake_parent(execution.parent_id)


def _count_and_log(execution: Execution) -> None:
    EXECUTIONS.labels(execution.status).inc()
    with logging_about(execution=str(execution.pk)):
        logger.info("%s has ended: %s.", execution, execution.status)


def _wake_parent(execution: UUID) -> None:
    """Wake the tasks that this rollback rolls back, which are of another execution."""
    tasks = TaskRun.objects.filter(stage_run__execution=execution, status=Status.ROLLING_BACK)
    # In a fixed order: two transactions that each hold one of two rows would wait for ever.
    for pk in tasks.order_by("pk").values_list("pk", flat=True):
        wake(TaskRun, pk)


def _task(run: Run, key: str) -> TaskRun:
    """The task that the plan calls so."""
    return next(task for task in run.tasks if str(task.pk) == key)


def admit(pipeline: Pipeline) -> None:
    """Give free places to executions that wait, first in, first out; but a rollback may pass those
    for which there is none (``places``). Call it with the pipeline locked.
    """
    # One at a time: an execution whose tasks are all skipped gives its place back at once.
    while queued := next_queued(pipeline):
        run = load(queued, pipeline=pipeline)
        begin(run)
        run.write()
