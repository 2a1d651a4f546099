"""Carries executions on: asks ``plan`` what comes next, and does it.

A new execution for which there is a place comes to ``begin`` at once; any other stays QUEUED ("The
queue", below). ``begin`` starts its first tasks. Each result of a task, which ``tasks`` has noted,
comes to ``advance``, which starts what is next, ends what is over, or does nothing. The whole way
of a push, with who calls this: docs/architecture.md.

A ``Run`` is an execution with the rows of its stages and tasks, which change in memory at once
(``change``). The caller, who holds the transaction and the locks, writes them (``create``,
``write``), if that was not done before the queue was looked at.
"""

from __future__ import annotations

import logging
from uuid import UUID

from django.db import connection, transaction

from codestream.core.clock import database_now
from codestream.core.database_trouble import OUTAGES
from codestream.core.errors import internal_error
from codestream.core.log_context import logging_about
from codestream.core.metrics import EXECUTIONS
from codestream.core.words import Words, gettext_noop, joined
from codestream.core.work import wake
from executions.models import Execution, RolloutWatch, StageRun, TaskRun
from executions.places import next_queued
from executions.plan import NOTHING, ExecutionState, Key, Plan, StageState, canceled, plan
from executions.run import Row, Run, definition_of_execution, load, name_of
from executions.states import BLOCKING, TERMINAL, Status
from executions.task_rules import ConditionError, failure_of, is_condition_met, timeout_of
from pipelines.definition import DefinitionError
from pipelines.models import Pipeline

_COMPLETED = Words(gettext_noop("Execution Completed."))
_NOT_MET = Words(gettext_noop("The condition is not met."))
_CANCELED = gettext_noop("Execution canceled by %(user)s.")
_CANCELED_BECAUSE = gettext_noop("Execution canceled by %(user)s: %(reason)s")
_FAILURES = BLOCKING - {Status.CANCELED}
MOST_LET_IN = 10
"""At most so many executions get a place in one transaction: others wait for that."""
logger = logging.getLogger(__name__)


def begin(run: Run) -> None:
    """Let an execution that was QUEUED go, in the place it has got: its first tasks start."""
    run.change(run.execution, Status.RUNNING)
    _go_on(run)


def advance(run: Run) -> None:
    """After a task's result, or a person's request: do what comes next, if anything does."""
    before = run.execution.status
    _go_on(run)
    if run.execution.status != before:
        _give_place_away(run)  # if it needs it no more: writes, and lets in who waits


def _go_on(run: Run) -> None:
    """Carry out plan after plan until there is NOTHING to do. Mostly a task works then, and its
    result comes to ``advance``.
    """
    try:
        definition_of_execution(run.execution)  # before a stage or a task changes
        while (todo := plan(_state_of(run))) != NOTHING:
            _do(run, todo)
    except DefinitionError as error:
        _fail_unreadable(run, error)


def _do(run: Run, todo: Plan) -> None:
    """Change the rows as the plan says, and wake the tasks that have something to do."""
    for key, status in todo.stage_changes:
        run.change(next(stage for stage in run.stages if stage.pk == key), status)
    _start(run, [_task(run, key) for key in todo.start])
    _cancel(run, [_task(run, key) for key in todo.cancel])
    if todo.status is not None:
        run.change(run.execution, todo.status, message=_reason(run, todo))
        _note_if_over(run.execution)  # counted and logged


def _start(run: Run, tasks: list[TaskRun]) -> None:
    """Start the tasks whose conditions are met, or that have none, and skip the others. A worker
    does what is to be done for one that is STARTED, and notes its results (``tasks``).
    """
    for task, is_met in _conditions(run, tasks).items():
        if is_met:
            run.change(task, Status.STARTED, deadline_at=database_now(plus=timeout_of(task)))
            run.wake(task)
        else:
            run.change(task, Status.SKIPPED, message=_NOT_MET)


# Look-ups: the rows as the plan looks at them, and found again. Nothing is decided here.


def _state_of(run: Run) -> ExecutionState:
    """The execution as ``plan`` looks at it."""
    execution = run.execution
    return ExecutionState(
        status=Status(execution.status),
        stages=tuple(_stage_state(run, stage) for stage in run.stages),
        cancel_requested=execution.cancel_requested_at is not None,
        pause_requested=execution.pause_requested_at is not None,
    )


def _stage_state(run: Run, stage: StageRun) -> StageState:
    groups: dict[int, dict[Key, Status]] = {}
    for task in run.tasks:
        if task.stage_run_id == stage.pk:
            groups.setdefault(task.group, {})[task.pk] = Status(task.status)
    ordered = tuple(groups[group] for group in sorted(groups))
    return StageState(key=stage.pk, status=Status(stage.status), groups=ordered)


def _task(run: Run, key: Key) -> TaskRun:
    return next(task for task in run.tasks if task.pk == key)


# The queue: not needed to follow a push behind which nobody waits.


def _give_place_away(run: Run) -> None:
    """Let another one take the place: anyone when the execution is over, and only a rollback while
    it is ROLLING_BACK.
    """
    gives_way = run.execution.is_over or run.execution.status == Status.ROLLING_BACK
    if run.pipeline is not None and gives_way:
        run.write()  # not left to the caller: ``places`` counts in the database
        admit(run.pipeline)


def admit(pipeline: Pipeline) -> bool:
    """Let executions that wait begin, first in, first out, while there are places; a rollback may
    pass others (``places``). Call it with the pipeline locked; everything is written here.

    Return whether even more could begin at once: a worker, or the chore for free places, lets them
    in soon.
    """
    # One at a time: an execution whose tasks are all skipped gives its place back at once.
    for _ in range(MOST_LET_IN):
        queued = next_queued(pipeline)
        if queued is None:
            return False
        if not _begin_queued(queued, pipeline):
            return False
    if queued := next_queued(pipeline):
        tasks = TaskRun.objects.filter(stage_run__execution=queued)
        for pk in tasks.values_list("pk", flat=True)[:1]:
            wake(TaskRun, pk)  # ``tasks._let_in`` calls this again
    return queued is not None


def _begin_queued(queued: Execution, pipeline: Pipeline) -> bool:
    """Let it begin. Should a fault of ours prevent that, it fails, and whoever gave it the place
    goes on. False when it is to wait: the fault is this process's, or this machine's.
    """
    try:
        with transaction.atomic():
            run = load(queued, pipeline=pipeline)
            begin(run)
            run.write()
    except OUTAGES:
        raise
    except (OSError, MemoryError):
        logger.exception("%s cannot begin yet; the chore for free places tries again.", queued)
        return False
    except Exception as error:
        logger.exception("%s cannot begin.", queued)
        queued.refresh_from_db()
        run = load(queued, pipeline=pipeline)
        _fail(run, internal_error(error))
        run.write()
    return True


# Not needed to follow a push that goes well: counts, words, conditions, cancel, faults, rollback.
# A failed task may be rolled back by another execution, whose ``parent`` is the execution of the
# task. Until that is over the task is ROLLING_BACK, and so is its execution when nothing else of
# it lives.


def _note_if_over(execution: Execution) -> None:
    """Let an execution that is over be counted and logged after the commit; a rollback, which has a
    parent, wakes what it rolls back.
    """
    if not execution.is_over:
        return
    transaction.on_commit(lambda: _count_and_log(execution), robust=True)
    if execution.parent_id is not None:
        _wake_rolled_back(execution.parent_id)


def _count_and_log(execution: Execution) -> None:
    EXECUTIONS.labels(execution.status).inc()
    with logging_about(execution=str(execution.pk)):
        logger.info("%s has ended: %s.", execution, execution.status)


def _conditions(run: Run, tasks: list[TaskRun]) -> dict[TaskRun, bool]:
    """Whether the condition of each task is met. One that cannot be evaluated fails its task; then
    no other one begins, unless the failure may be ignored.
    """
    are_met = {}
    for task in tasks:
        try:
            are_met[task] = is_condition_met(run, task)
        except ConditionError as error:
            run.change(task, failure_of(run, task), message=error.words)
    return {} if any(task.status in BLOCKING for task in tasks) else are_met


def break_off(run: Run, message: str) -> None:
    """End an execution that a fault of ours keeps from going on in any other way. The caller
    writes.
    """
    if not run.execution.is_over:
        _fail(run, message)
        _give_place_away(run)


def _cancel(run: Run, tasks: list[TaskRun]) -> None:
    """Cancel what has not begun, and ask what works to end."""
    for task in tasks:
        run.change(task, canceled(Status(task.status)), message=task.words)
        if task.status == Status.CANCELING:
            run.wake(task)


def _reason(run: Run, todo: Plan) -> Words:
    """Why the execution changes, for people."""
    execution = run.execution
    if todo.status is Status.COMPLETED:
        return _COMPLETED
    if todo.status in _FAILURES:
        failed = next(task for task in run.tasks if task.status in _FAILURES)
        return joined([name_of(failed), failed.words], by=": ")
    if todo.status in {Status.CANCELED, Status.CANCELING} and execution.cancel_requested_by:
        said = {"user": execution.cancel_requested_by, "reason": execution.cancel_reason}
        return Words(_CANCELED_BECAUSE if execution.cancel_reason else _CANCELED, said)
    if todo.status in {Status.PAUSING, Status.PAUSED} and execution.pause_requested_by:
        return Words(gettext_noop("Paused by %(user)s."), {"user": execution.pause_requested_by})
    return Words("")


def _wake_rolled_back(execution: UUID) -> None:
    """Wake the tasks of the execution that are rolled back."""
    tasks = TaskRun.objects.filter(stage_run__execution=execution, status=Status.ROLLING_BACK)
    keys = set(tasks.values_list("pk", flat=True))
    # Who holds one of them may wait for what is held here.
    may_skip = connection.features.has_select_for_update_skip_locked
    rows = tasks.select_for_update(of=("self",), no_key=True, skip_locked=may_skip)
    free = set(rows.values_list("pk", flat=True))
    for pk in free:
        wake(TaskRun, pk)
    for pk in keys - free:
        _wake_later(pk)


def _wake_later(pk: UUID) -> None:
    transaction.on_commit(lambda: wake(TaskRun, pk), robust=True)


def _fail_unreadable(run: Run, error: DefinitionError) -> None:
    """Fail what cannot go on, so that the queue behind it does."""
    unreadable = gettext_noop("The definition can no longer be read: %(reason)s")
    _fail(run, Words(unreadable, {"reason": error.words}))


def _fail(run: Run, message: str) -> None:
    """Fail what is under way, without asking the definition how. What has not begun stays so, as
    after any failure.
    """
    parts: tuple[Row, ...] = (*run.tasks, *run.stages)
    under_way = [row for row in parts if row.status not in TERMINAL | {Status.NOT_STARTED}]
    for row in under_way:
        run.change(row, Status.FAILED, message=message)
    if under_way:
        RolloutWatch.objects.filter(task__in=[row.pk for row in under_way]).delete()
    run.change(run.execution, Status.FAILED, message=message)
    _note_if_over(run.execution)
