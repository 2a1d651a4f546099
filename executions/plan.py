"""Says what an execution has to do next, given the states of its parts.

Pure and level-triggered: it looks at how things stand, never at what happened last, so it may
be asked at any time and as often as one likes. Storing the plan and doing the work is for the
engine.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from executions.states import BLOCKING, TERMINAL, Status, roll_up


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskState:
    """How a task stands.

    ``precondition`` counts only while the task is NOT_STARTED: False skips it, True or None
    (it has none) starts it.
    """

    key: str
    status: Status
    precondition: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StageState:
    """How a stage stands: groups run one after another, the tasks of a group side by side."""

    key: str
    status: Status
    groups: tuple[tuple[TaskState, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionState:
    """How an execution stands: stages run one after another. Task keys are unique in it."""

    status: Status
    stages: tuple[StageState, ...]
    cancel_requested: bool = False
    pause_requested: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do now; empty when there is nothing to do but wait.

    ``start``: tasks that become STARTED. ``skip``: tasks that become SKIPPED; afterwards plan
    again, since preconditions of the next tasks may look at them. ``cancel``: tasks at work
    that are to be asked to stop. ``cancel_now``: tasks that become CANCELED without having
    begun. ``stage_changes`` and ``status``: new states of stages and of the execution.
    ``failed_task``: the task to blame when ``status`` is that of a failure.
    """

    start: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    cancel: tuple[str, ...] = ()
    cancel_now: tuple[str, ...] = ()
    stage_changes: tuple[tuple[str, Status], ...] = ()
    status: Status | None = None
    failed_task: str | None = None


FAILURES: Final = frozenset({Status.FAILED, Status.ROLLBACK_COMPLETED, Status.ROLLBACK_FAILED})


def plan(execution: ExecutionState) -> Plan:
    """Return what to do next; nothing for an execution that is over.

    A QUEUED execution waits until there is a place for it, where the engine makes it RUNNING; only
    a request to cancel moves it here. Stages and execution are rolled up as if all of it were done.
    """
    if execution.status in TERMINAL or _waits_for_a_place(execution):
        return Plan()
    todo = _to_cancel(execution) if execution.cancel_requested else _to_go_on(execution)
    tasks_after = _tasks_after(execution, todo)
    stages_after = _stages_after(execution, tasks_after)
    status = _status_after(execution, tuple(stages_after.values()), tasks_after)
    return replace(
        todo,
        stage_changes=tuple(
            (stage.key, stages_after[stage.key])
            for stage in execution.stages
            if stages_after[stage.key] is not stage.status
        ),
        status=None if status is execution.status else status,
        failed_task=_failed_task(tasks_after) if status in FAILURES else None,
    )


def ready_tasks(execution: ExecutionState) -> tuple[str, ...]:
    """Return the tasks that are next, whose preconditions have to be known before ``plan``.

    The same tasks that ``plan`` starts or skips; preconditions of all others are not looked at.
    """
    held = execution.cancel_requested or execution.pause_requested
    if held or execution.status in TERMINAL or _waits_for_a_place(execution):
        return ()
    return tuple(task.key for task in _next_tasks(execution))


def _waits_for_a_place(execution: ExecutionState) -> bool:
    return execution.status is Status.QUEUED and not execution.cancel_requested


def _to_go_on(execution: ExecutionState) -> Plan:
    if execution.pause_requested:
        return Plan()
    ready = _next_tasks(execution)
    return Plan(
        start=tuple(task.key for task in ready if task.precondition is not False),
        skip=tuple(task.key for task in ready if task.precondition is False),
    )


def _next_tasks(execution: ExecutionState) -> tuple[TaskState, ...]:
    """Return the tasks to begin: those of the first group that is not over, none after a stop."""
    for group in _groups(execution):
        present = {task.status for task in group}
        if present & (BLOCKING | {Status.ROLLING_BACK}):
            return ()
        if not present <= TERMINAL:
            return tuple(task for task in group if task.status is Status.NOT_STARTED)
    return ()


def _to_cancel(execution: ExecutionState) -> Plan:
    tasks = tuple(_tasks(execution))
    # A rollback that has begun is not left half way.
    settled = TERMINAL | {Status.NOT_STARTED, Status.CANCELING, Status.ROLLING_BACK}
    return Plan(
        cancel=tuple(task.key for task in tasks if task.status not in settled),
        cancel_now=tuple(task.key for task in tasks if task.status is Status.NOT_STARTED),
    )


def _tasks_after(execution: ExecutionState, todo: Plan) -> Mapping[str, Status]:
    """How every task stands when that is done, by its key."""
    return {
        **{task.key: task.status for task in _tasks(execution)},
        **dict.fromkeys(todo.start, Status.STARTED),
        **dict.fromkeys(todo.skip, Status.SKIPPED),
        **dict.fromkeys(todo.cancel, Status.CANCELING),
        **dict.fromkeys(todo.cancel_now, Status.CANCELED),
    }


def _stages_after(execution: ExecutionState, tasks: Mapping[str, Status]) -> Mapping[str, Status]:
    """How every stage stands then: one that was not reached stays as it is, or an empty one would
    be COMPLETED before its turn.
    """
    after: dict[str, Status] = {}
    for stage in execution.stages:
        if stage.status in TERMINAL:
            after[stage.key] = stage.status
        elif execution.cancel_requested or _is_reached(after):
            after[stage.key] = _stage_after(execution, stage, tasks)
        else:
            after[stage.key] = stage.status
    return after


def _is_reached(earlier: Mapping[str, Status]) -> bool:
    return all(status in TERMINAL - BLOCKING for status in earlier.values())


def _stage_after(
    execution: ExecutionState, stage: StageState, tasks: Mapping[str, Status]
) -> Status:
    own = [tasks[task.key] for group in stage.groups for task in group]
    if execution.cancel_requested and not own:
        return Status.CANCELED  # nothing at all rolls up to COMPLETED
    rolled = roll_up(own)
    return Status.CANCELING if execution.cancel_requested and rolled not in TERMINAL else rolled


def _status_after(
    execution: ExecutionState, stages: tuple[Status, ...], tasks: Mapping[str, Status]
) -> Status:
    """How the whole stands then: as its stages, unless somebody asked for an end or a pause."""
    if execution.cancel_requested and not stages:
        return Status.CANCELED  # likewise
    rolled = roll_up(stages)
    if rolled in TERMINAL:
        # An execution whose every task was skipped did all it had to do.
        return Status.COMPLETED if rolled is Status.SKIPPED else rolled
    if execution.cancel_requested:
        return Status.CANCELING
    if rolled is Status.ROLLING_BACK:
        return rolled
    if execution.pause_requested:
        return Status.PAUSING if _is_working(tasks) else Status.PAUSED
    return Status.WAITING if rolled is Status.WAITING else Status.RUNNING


def _is_working(tasks: Mapping[str, Status]) -> bool:
    idle = TERMINAL | {Status.NOT_STARTED, Status.WAITING}
    return any(status not in idle for status in tasks.values())


def _failed_task(tasks: Mapping[str, Status]) -> str | None:
    return next((key for key, status in tasks.items() if status in FAILURES), None)


def _groups(execution: ExecutionState) -> Iterator[tuple[TaskState, ...]]:
    return (group for stage in execution.stages for group in stage.groups)


def _tasks(execution: ExecutionState) -> Iterator[TaskState]:
    return (task for group in _groups(execution) for task in group)
