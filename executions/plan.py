"""Says what an execution has to do next, given the states of its parts.

Pure and level-triggered: it looks at how things stand, never at what happened last, so it may
be asked at any time and as often as one likes. The engine stores the plan and asks again, until
there is NOTHING to do but wait; how a task ended is written by ``executions.tasks``.

For two stages of one task each the plans are: start the first task, its stage RUNNING; NOTHING,
while it works; when it is COMPLETED its stage is too, the second task starts and its stage is
RUNNING, all in one plan; when that is COMPLETED, so are its stage and the execution.

From ``states``: TERMINAL is over, either PASSED or BLOCKING what comes later; ``roll_up`` gives the
state of a whole from its parts': RUNNING while one is alive or between two, COMPLETED when all went
well, or without parts; else its exceptions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from executions.states import BLOCKING, PASSED, TERMINAL, Status, roll_up


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
    """What to do now, by the keys of tasks and stages."""

    stage_changes: tuple[tuple[str, Status], ...] = ()
    start: tuple[str, ...] = ()  # tasks whose turn it is; a false condition skips one
    cancel: tuple[str, ...] = ()  # tasks at work that are asked to stop
    cancel_now: tuple[str, ...] = ()  # tasks that become CANCELED without having begun
    status: Status | None = None  # of the execution, when it changes
    failed_task: str | None = None  # the one to blame when that is a failure


NOTHING: Final = Plan()


def plan(execution: ExecutionState) -> Plan:
    """Return what to do next; NOTHING while there is only to wait, and when it is over."""
    if execution.status in TERMINAL:
        return NOTHING
    if execution.cancel_requested:
        return _plan_to_cancel(execution)
    if execution.status is Status.QUEUED:
        return NOTHING  # the engine makes it RUNNING when there is a place for it
    start = () if execution.pause_requested else _next_tasks(execution)
    # As if all of them did start: should a condition end one, the next plan sees that.
    tasks = _statuses(execution) | dict.fromkeys(start, Status.STARTED)
    stages = _roll_up_stages(execution.stages, tasks)
    status = roll_up(stages.values())
    if execution.pause_requested:
        status = _paused(status, tasks)
    return replace(_changes(execution, tasks, stages, status), start=start)


def _next_tasks(execution: ExecutionState) -> tuple[str, ...]:
    """Return the tasks of the first group that is not over, if they have not begun yet; none after
    a failure.
    """
    for group in _groups(execution):
        present = {task.status for task in group}
        if present & (BLOCKING | {Status.ROLLING_BACK}):
            return ()
        if not present <= TERMINAL:
            return tuple(task.key for task in group if task.status is Status.NOT_STARTED)
    return ()


def _roll_up_stages(stages: Sequence[StageState], tasks: Mapping[str, Status]) -> dict[str, Status]:
    """Return how the stages stand when their tasks stand so."""
    after = {stage.key: stage.status for stage in stages}
    for stage in stages:
        if stage.status not in TERMINAL:
            after[stage.key] = roll_up(tasks[key] for key in _keys(stage))
        if after[stage.key] not in PASSED:
            break  # an empty stage behind it would roll up to COMPLETED before its turn
    return after


_FAILURES: Final = BLOCKING - {Status.CANCELED}  # for CANCELED no task is to blame


def _changes(
    execution: ExecutionState,
    tasks: Mapping[str, Status],
    stages: Mapping[str, Status],
    status: Status,
) -> Plan:
    """Return the plan by which stages and execution come to stand so."""
    if status is Status.SKIPPED:
        status = Status.COMPLETED  # it did all it had to do
    failed = (key for key, task in tasks.items() if task in _FAILURES)
    changed = tuple(
        (stage.key, stages[stage.key])
        for stage in execution.stages
        if stages[stage.key] is not stage.status
    )
    return Plan(
        stage_changes=changed,
        status=None if status is execution.status else status,
        failed_task=next(failed, None) if status in _FAILURES else None,
    )


def _statuses(execution: ExecutionState) -> dict[str, Status]:
    """Return how every task stands, by its key."""
    return {task.key: task.status for group in _groups(execution) for task in group}


def _groups(execution: ExecutionState) -> Iterator[tuple[TaskState, ...]]:
    return (group for stage in execution.stages for group in stage.groups)


def _keys(stage: StageState) -> Iterator[str]:
    return (task.key for group in stage.groups for task in group)


# When somebody asked for a pause or the end.


def _paused(status: Status, tasks: Mapping[str, Status]) -> Status:
    """Return what becomes of a status when nothing new may start."""
    if status in TERMINAL | {Status.CANCELING, Status.ROLLING_BACK}:
        return status
    idle = TERMINAL | {Status.NOT_STARTED, Status.WAITING}
    return Status.PAUSED if idle.issuperset(tasks.values()) else Status.PAUSING


def _plan_to_cancel(execution: ExecutionState) -> Plan:
    before = _statuses(execution)
    # A rollback that has begun is not left half way.
    settled = TERMINAL | {Status.NOT_STARTED, Status.CANCELING, Status.ROLLING_BACK}
    cancel = tuple(key for key, status in before.items() if status not in settled)
    cancel_now = tuple(key for key, status in before.items() if status is Status.NOT_STARTED)
    tasks = before | dict.fromkeys(cancel, Status.CANCELING)
    tasks |= dict.fromkeys(cancel_now, Status.CANCELED)
    stages = {
        stage.key: _stopped([tasks[key] for key in _keys(stage)])
        for stage in execution.stages
        if stage.status not in TERMINAL
    }
    stages = {stage.key: stage.status for stage in execution.stages} | stages
    changes = _changes(execution, tasks, stages, _stopped(list(stages.values())))
    return replace(changes, cancel=cancel, cancel_now=cancel_now)


def _stopped(parts: Sequence[Status]) -> Status:
    """Return the state of a whole that is to stop: CANCELING until its parts are over, or until
    only rollbacks are left.
    """
    rolled = roll_up(parts) if parts else Status.CANCELED
    return rolled if rolled in TERMINAL | {Status.ROLLING_BACK} else Status.CANCELING
