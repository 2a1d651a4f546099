"""Says what an execution has to do next, given the states of its parts.

Pure and level-triggered: it looks at how things stand, never at what happened last, so it may
be asked at any time and as often as one likes. Storing the plan and doing the work is for the
engine. On a first reading, take ``cancel_requested`` and ``pause_requested`` to be False.

From ``states``: TERMINAL is over; BLOCKING is an end after which nothing later starts; ``roll_up``
gives the state of a whole from its parts': mostly RUNNING while one is alive, then the worst of
their ends, COMPLETED where all went well.

For two stages of one task each the plans are: start the first task, its stage RUNNING; nothing,
while it works; when it is COMPLETED its stage is too, the second task starts and its stage is
RUNNING, all in one plan; when that is COMPLETED, so are its stage and the execution.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Final

from executions.states import BLOCKING, TERMINAL, Status, roll_up


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskState:
    """How a task stands."""

    key: str
    status: Status


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
    """What to do now; empty when there is nothing to do but wait."""

    stage_changes: tuple[tuple[str, Status], ...] = ()
    start: tuple[str, ...] = ()  # tasks that become STARTED
    skip: tuple[str, ...] = ()  # tasks that become SKIPPED; then plan again
    cancel_now: tuple[str, ...] = ()  # tasks that become CANCELED without having begun
    cancel: tuple[str, ...] = ()  # tasks at work that are asked to stop
    status: Status | None = None  # of the execution, when it changes
    failed_task: str | None = None  # the one to blame when that is a failure


def ready_tasks(execution: ExecutionState) -> tuple[str, ...]:
    """Return the tasks to begin, whose preconditions have to be known before ``plan``: those of
    the first group that is not over.
    """
    held = execution.cancel_requested or execution.pause_requested
    if held or execution.status is Status.QUEUED or execution.status in TERMINAL:
        return ()
    for group in _groups(execution):
        present = {task.status for task in group}
        if present & (BLOCKING | {Status.ROLLING_BACK}):
            return ()
        if not present <= TERMINAL:
            return tuple(task.key for task in group if task.status is Status.NOT_STARTED)
    return ()


def plan(execution: ExecutionState, *, unmet: Set[str] = frozenset()) -> Plan:
    """Return what to do next; nothing for an execution that is over. ``unmet`` are the ready tasks
    whose precondition is false.

    A QUEUED execution waits until there is a place for it, where the engine makes it RUNNING; only
    a request to cancel moves it here. Stages and execution are rolled up from the tasks as they
    will stand when the plan is carried out.
    """
    waits_for_a_place = execution.status is Status.QUEUED and not execution.cancel_requested
    if execution.status in TERMINAL or waits_for_a_place:
        return Plan()
    todo = _to_cancel(execution) if execution.cancel_requested else _to_go_on(execution, unmet)
    tasks_after = _tasks_after(execution, todo)
    stages_after = _stages_after(execution, tasks_after)
    status = _status_after(execution, list(stages_after.values()), tasks_after)
    return replace(
        todo,
        stage_changes=tuple(
            (stage.key, stages_after[stage.key])
            for stage in execution.stages
            if stages_after[stage.key] is not stage.status
        ),
        status=None if status is execution.status else status,
        failed_task=_failed_task(tasks_after) if status in _FAILURES else None,
    )


def _to_go_on(execution: ExecutionState, unmet: Set[str]) -> Plan:
    ready = ready_tasks(execution)
    return Plan(
        start=tuple(key for key in ready if key not in unmet),
        skip=tuple(key for key in ready if key in unmet),
    )


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
    """How every stage stands then. A stage is reached when all before it ended well enough for it
    to start; one that is not stays as it is, or an empty one would be COMPLETED before its turn.
    """
    after: dict[str, Status] = {}
    is_reached = True
    for stage in execution.stages:
        status = stage.status
        if status not in TERMINAL and (is_reached or execution.cancel_requested):
            own = [tasks[task.key] for group in stage.groups for task in group]
            status = _rolled_up(execution, own)
        after[stage.key] = status
        is_reached = is_reached and status in TERMINAL - BLOCKING
    return after


def _status_after(
    execution: ExecutionState, stages: Sequence[Status], tasks: Mapping[str, Status]
) -> Status:
    """How the whole stands then: as its stages, unless somebody asked for an end or a pause."""
    rolled = _rolled_up(execution, stages)
    if rolled is Status.SKIPPED:
        return Status.COMPLETED  # it did all it had to do
    if rolled in TERMINAL | {Status.CANCELING, Status.ROLLING_BACK}:
        return rolled
    if execution.pause_requested:
        return Status.PAUSING if _is_working(tasks) else Status.PAUSED
    return Status.WAITING if rolled is Status.WAITING else Status.RUNNING


def _rolled_up(execution: ExecutionState, parts: Sequence[Status]) -> Status:
    """As ``roll_up`` says; what is to be canceled is CANCELING while it lives."""
    rolled = roll_up(parts)
    if not execution.cancel_requested:
        return rolled
    if not parts:
        return Status.CANCELED  # no parts would roll up to COMPLETED
    return rolled if rolled in TERMINAL else Status.CANCELING


def _is_working(tasks: Mapping[str, Status]) -> bool:
    idle = TERMINAL | {Status.NOT_STARTED, Status.WAITING}
    return any(status not in idle for status in tasks.values())


_FAILURES: Final = BLOCKING - {Status.CANCELED}  # for CANCELED no task is to blame


def _failed_task(tasks: Mapping[str, Status]) -> str | None:
    return next((key for key, status in tasks.items() if status in _FAILURES), None)


def _groups(execution: ExecutionState) -> Iterator[tuple[TaskState, ...]]:
    return (group for stage in execution.stages for group in stage.groups)


def _tasks(execution: ExecutionState) -> Iterator[TaskState]:
    return (task for group in _groups(execution) for task in group)
