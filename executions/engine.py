"""Carries out what ``plan`` says: what starts next, what is over, who gets the next free place.

Only rows are touched here; the work itself is in ``executions.tasks``. The caller holds the locks
and the transaction (``run.locked``; for a new execution ``services.start_execution`` or
``webhooks.judging``) and writes the Run afterwards; but ``advance`` writes before it gives a place
away, and ``admit`` what it begins. Knows no outside system. The whole way of a push:
docs/architecture.md.
"""

from __future__ import annotations

import logging
from datetime import timedelta

from django.db import transaction

from codestream.core.clock import now
from codestream.core.errors import CodeStreamError
from codestream.core.log_context import logging_about
from codestream.core.metrics import EXECUTIONS
from codestream.core.prepared import Prepared
from codestream.core.words import Words, gettext_noop, joined
from codestream.core.work import wake
from executions.models import Execution, StageRun, TaskRun
from executions.plan import ExecutionState, Plan, StageState, TaskState, plan, ready_tasks
from executions.restricted import restricted_behind
from executions.run import Row, Run, definition_of_task, load, name_of
from executions.scopes import scope_of
from executions.states import TERMINAL, Status
from pipelines.conditions import evaluate_condition
from pipelines.definition import DefinitionError
from pipelines.models import Pipeline

DEFAULT_TIMEOUT = timedelta(minutes=5)
LONGEST_MINUTES = 366 * 24 * 60
_COMPLETED = Words(gettext_noop("Execution Completed."))
_NOT_MET = Words(gettext_noop("The condition is not met."))
_CANCELED = gettext_noop("Execution canceled by %(user)s.")
_CANCELED_BECAUSE = gettext_noop("Execution canceled by %(user)s: %(reason)s")
logger = logging.getLogger(__name__)


def begin(run: Run) -> None:
    """Let an execution that has a place run: its first tasks begin.

    The caller writes: ``Run.create`` for a new execution, ``Run.write`` for one that has waited.
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
    """Carry on, or end what cannot: nobody behind it in the queue waits for it."""
    try:
        _plan_and_do(run)
    except DefinitionError as error:
        unreadable = gettext_noop("The definition can no longer be read: %(reason)s")
        _break_off(run, Words(unreadable, {"reason": error.words}))


def _break_off(run: Run, message: str) -> None:
    """Fail what is under way, without asking the definition how."""
    parts: tuple[Row, ...] = (*run.tasks, *run.stages)
    for row in parts:
        if row.status not in TERMINAL and row.status != Status.NOT_STARTED:
            run.change(row, Status.FAILED, message=message)
    run.change(run.execution, Status.FAILED, message=message)
    _note_if_over(run.execution)


def _plan_and_do(run: Run) -> None:
    """Plan and carry out, again after a task was skipped: the next condition may look at it."""
    while True:
        ready = ready_tasks(_state_of(run, {}))
        conditions = {key: _precondition_or_failure(run, _task(run, key)) for key in ready}
        if any(_task(run, key).status != Status.NOT_STARTED for key in ready):
            continue  # a condition could not be read, which failed its task: look again
        todo = plan(_state_of(run, conditions))
        _do(run, todo)
        if not todo.skip:
            return


def failure_of(run: Run, task: TaskRun) -> Status:
    """Return how this task fails: for good, with a rollback, or so that the rest goes on."""
    try:
        if definition_of_task(task).ignore_failure:
            return Status.FAILED_CONTINUE
    except DefinitionError:
        return Status.FAILED
    begun = task.status in {Status.STARTED, Status.RUNNING, Status.WAITING}
    is_rollback = run.execution.source == Execution.Source.ROLLBACK
    rollback = run.definition.rollback_of(task.stage_run.name, task.name)
    return Status.ROLLING_BACK if rollback and begun and not is_rollback else Status.FAILED


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
                ignore_failure=definition_of_task(task).ignore_failure,
                precondition=conditions.get(str(task.pk)),
            )
            groups.setdefault(task.group, []).append(state)
    ordered = tuple(tuple(groups[group]) for group in sorted(groups))
    return StageState(key=str(stage.pk), status=Status(stage.status), groups=ordered)


def _precondition_or_failure(run: Run, task: TaskRun) -> bool | None:
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
    """Nobody can resume a condition: it is decided before its task begins."""
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
        run.change(task, Status.STARTED, deadline_at=now() + timeout_of(task))
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
    """Count and log an execution that is over, and wake the task that waits for it."""
    if not execution.is_over:
        return
    transaction.on_commit(lambda: _note_the_end(execution), robust=True)
    if execution.parent_id is not None:
        waiting = TaskRun.objects.filter(
            stage_run__execution=execution.parent_id, status=Status.ROLLING_BACK
        )
        # In a fixed order: two transactions that each hold one of two rows would wait for ever.
        for pk in waiting.order_by("pk").values_list("pk", flat=True):
            wake(TaskRun, pk)


def _note_the_end(execution: Execution) -> None:
    EXECUTIONS.labels(execution.status).inc()
    with logging_about(execution=str(execution.pk)):
        logger.info("%s has ended: %s.", execution, execution.status)


def _task(run: Run, key: str) -> TaskRun:
    """The task that the plan calls so."""
    return next(task for task in run.tasks if str(task.pk) == key)


def timeout_of(task: TaskRun) -> timedelta:
    """How long the task may take, as its definition says in minutes; absurd ones are cut short."""
    text = str(definition_of_task(task).input.get("timeout", "")).strip()
    digits = text.lstrip("0") if text.isascii() and text.isdecimal() else ""
    if not digits:
        return DEFAULT_TIMEOUT
    is_absurd = len(digits) > len(str(LONGEST_MINUTES))
    minutes = LONGEST_MINUTES if is_absurd else int(digits)
    return timedelta(minutes=min(minutes, LONGEST_MINUTES))


def admit(pipeline: Pipeline) -> None:
    """Give free places to the executions that have waited longest: first in, first out.

    Call it with the pipeline locked.
    """
    # One at a time: an execution whose tasks are all skipped gives its place back at once.
    while waiting := _next_queued(pipeline):
        run = load(waiting, pipeline=pipeline)
        begin(run)
        run.write()


def _next_queued(pipeline: Pipeline) -> Execution | None:
    """The one that has waited longest of those that have a place now, locked."""
    first = _FIRST_QUEUED.first(pipeline.pk)
    if first is None:
        return None
    active = _ACTIVE.all(pipeline.pk)
    if _has_a_place(first, pipeline, active):
        return first
    rollback = _FIRST_QUEUED_ROLLBACK.first(pipeline.pk) if Status.ROLLING_BACK in active else None
    return rollback if rollback and _has_a_place(rollback, pipeline, active) else None


def has_a_place_for(execution: Execution, pipeline: Pipeline) -> bool:
    """Whether the execution may run beside those that do; true only while the pipeline is locked.

    A rollback needs no place of one that only waits for its own rollback, or pipelines that roll
    each other back could wait for each other.
    """
    return _has_a_place(execution, pipeline, _ACTIVE.all(pipeline.pk))


def _has_a_place(execution: Execution, pipeline: Pipeline, active: list[str]) -> bool:
    is_rollback = execution.source == Execution.Source.ROLLBACK
    waiting = active.count(Status.ROLLING_BACK) if is_rollback else 0
    return len(active) - waiting < pipeline.concurrency


def is_awaited(pipeline: Pipeline) -> bool:
    """Whether an execution waits for a place; true only while the pipeline is locked."""
    return bool(_QUEUED.all(pipeline.pk))


_ACTIVE = Prepared(
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
