"""Says what an execution has to do next, given the states of its parts.

Pure: it looks at how things stand, never at what happened last, and may be asked at any time. The
engine carries the plan out on its rows and asks again, until it is NOTHING.

For two stages of one task each the plans are: start the first task, its stage RUNNING; NOTHING,
while it works; when it is COMPLETED its stage is too, the second task starts and its stage is
RUNNING, all in one plan; when that is COMPLETED, so are its stage and the execution.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from executions.states import BLOCKING, PASSED, TERMINAL, Status, roll_up

# TERMINAL: over. PASSED: over, so that later parts may start. BLOCKING: over, and they may not.
Key = Hashable
"""Of a task or a stage: the engine takes the primary keys of its rows."""
Group = Mapping[Key, Status]
"""How tasks stand that run side by side."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageState:
    key: Key
    status: Status
    groups: tuple[Group, ...]  # run one after another


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionState:
    status: Status
    stages: tuple[StageState, ...]  # run one after another
    cancel_requested: bool = False
    pause_requested: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do now."""

    start: tuple[Key, ...] = ()  # tasks whose turn it is, if their conditions let them
    stage_changes: tuple[tuple[Key, Status], ...] = ()
    status: Status | None = None  # of the execution, when it changes
    cancel: tuple[Key, ...] = ()  # tasks that are to stop, or not to begin


NOTHING: Final = Plan()
"""Equal to every plan that is empty."""


def plan(execution: ExecutionState) -> Plan:
    """Return what to do next; NOTHING while there is only to wait, and when it is over."""
    if execution.status in TERMINAL:
        return NOTHING
    if execution.cancel_requested:
        return _plan_to_cancel(execution)
    if execution.status is Status.QUEUED:
        return NOTHING  # the engine makes it RUNNING when there is a place for it
    start = () if execution.pause_requested else _next_tasks(execution)
    # As if all of them did start: should a condition say otherwise, the next plan sees that.
    tasks_after = _tasks(execution) | dict.fromkeys(start, Status.STARTED)
    # ``roll_up``, where all goes well: NOT_STARTED before the first part, RUNNING with one at work
    # or between two (or WAITING, for a person), COMPLETED when all parts are.
    stages_after = _roll_up_stages(execution, tasks_after)
    status_after = _completed_if_skipped(roll_up(stages_after.values()))
    if execution.pause_requested:
        status_after = _paused(status_after, tasks_after)
    return Plan(
        start=start,
        stage_changes=_stage_changes(execution, stages_after),
        status=None if status_after is execution.status else status_after,
    )


def _next_tasks(execution: ExecutionState) -> tuple[Key, ...]:
    """Look for the first group that is not over, and return its tasks that have not begun; none if
    a task there, or before, is BLOCKING or ROLLING_BACK.
    """
    for stage in execution.stages:
        for group in stage.groups:
            present = set(group.values())
            if present & (BLOCKING | {Status.ROLLING_BACK}):
                return ()
            if present - TERMINAL:  # not over
                return tuple(key for key, status in group.items() if status is Status.NOT_STARTED)
    return ()


def _roll_up_stages(
    execution: ExecutionState, tasks_after: Mapping[Key, Status]
) -> dict[Key, Status]:
    """Return how the stages will stand: those whose turn it is as their tasks do, rolled up."""
    after = {stage.key: stage.status for stage in execution.stages}
    for stage in execution.stages:
        if stage.status not in TERMINAL:
            after[stage.key] = roll_up(tasks_after[key] for key in _keys(stage))
        if after[stage.key] not in PASSED:
            break  # an empty stage behind it would roll up to COMPLETED before its turn
    return after


# Look-ups: nothing is decided here.


def _tasks(execution: ExecutionState) -> dict[Key, Status]:
    """Return how every task stands; no two have the same key."""
    groups = (group for stage in execution.stages for group in stage.groups)
    return {key: status for group in groups for key, status in group.items()}


def _stage_changes(
    execution: ExecutionState, stages_after: Mapping[Key, Status]
) -> tuple[tuple[Key, Status], ...]:
    return tuple(
        (stage.key, stages_after[stage.key])
        for stage in execution.stages
        if stages_after[stage.key] is not stage.status
    )


def _keys(stage: StageState) -> Iterator[Key]:
    return (key for group in stage.groups for key in group)


# Not needed to follow a push that goes well.


def _completed_if_skipped(status: Status) -> Status:
    """Return what becomes of an execution in which all was skipped: it did all it had to do."""
    return Status.COMPLETED if status is Status.SKIPPED else status


def _paused(status: Status, tasks: Mapping[Key, Status]) -> Status:
    """Return what becomes of a status when nothing new may start."""
    if status in TERMINAL | {Status.CANCELING, Status.ROLLING_BACK}:
        return status
    idle = TERMINAL | {Status.NOT_STARTED, Status.WAITING}
    return Status.PAUSED if idle.issuperset(tasks.values()) else Status.PAUSING


def _plan_to_cancel(execution: ExecutionState) -> Plan:
    tasks = _tasks(execution)
    # A rollback that has begun is not left half way.
    settled = TERMINAL | {Status.CANCELING, Status.ROLLING_BACK}
    cancel = tuple(key for key, status in tasks.items() if status not in settled)
    tasks_after = tasks | {key: canceled(tasks[key]) for key in cancel}
    stages_after = {
        stage.key: stage.status
        if stage.status in TERMINAL
        else _stopped([tasks_after[key] for key in _keys(stage)])
        for stage in execution.stages
    }
    status_after = _completed_if_skipped(_stopped(list(stages_after.values())))
    return Plan(
        cancel=cancel,
        stage_changes=_stage_changes(execution, stages_after),
        status=None if status_after is execution.status else status_after,
    )


def canceled(task: Status) -> Status:
    """Return what becomes of a task that is to stop: one that works says itself when it has."""
    return Status.CANCELED if task is Status.NOT_STARTED else Status.CANCELING


def _stopped(parts: Sequence[Status]) -> Status:
    """Return the state of a whole that is to stop: CANCELING until its parts are over, or until
    only rollbacks are left.
    """
    rolled = roll_up(parts) if parts else Status.CANCELED
    return rolled if rolled in TERMINAL | {Status.ROLLING_BACK} else Status.CANCELING
