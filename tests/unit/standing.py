"""How an execution stands, changed by hand: what the engine does with a plan, without rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import NamedTuple

from executions.plan import ExecutionState, Key, Plan, canceled
from executions.states import Status, can_change

NONE: Mapping[Key, Status] = MappingProxyType({})


class TaskState(NamedTuple):
    """How a task stands: an item of its group."""

    key: Key
    status: Status


def tasks_of(state: ExecutionState) -> Iterator[TaskState]:
    groups = (group for stage in state.stages for group in stage.groups)
    return (TaskState(*item) for group in groups for item in group.items())


def with_task(state: ExecutionState, key: Key, status: Status) -> ExecutionState:
    """Return ``state`` with one task changed, as the table of states allows."""
    stages = []
    for stage in state.stages:
        groups = []
        for group in stage.groups:
            if key in group:
                assert can_change(group[key], status), f"{key}: {group[key]} to {status}"
                group = {**group, key: status}
            groups.append(group)
        stages.append(replace(stage, groups=tuple(groups)))
    return replace(state, stages=tuple(stages))


def with_stage(state: ExecutionState, key: Key, status: Status) -> ExecutionState:
    stages = []
    for stage in state.stages:
        if stage.key == key:
            assert can_change(stage.status, status), f"{key}: {stage.status} to {status}"
            stage = replace(stage, status=status)
        stages.append(stage)
    return replace(state, stages=tuple(stages))


def with_status(state: ExecutionState, status: Status) -> ExecutionState:
    assert can_change(state.status, status), f"execution: {state.status} to {status}"
    return replace(state, status=status)


def carry_out(
    state: ExecutionState, todo: Plan, *, instead: Mapping[Key, Status] = NONE
) -> ExecutionState:
    """Return ``state`` after the plan, as the engine stores it. ``instead`` has the tasks that do
    not start, for their own condition or, NOT_STARTED still, for that of another one.
    """
    assert instead.keys() <= set(todo.start)
    starts = {key: instead.get(key, Status.STARTED) for key in todo.start}
    stops = {key: canceled(status) for key, status in tasks_of(state) if key in todo.cancel}
    for key, status in (starts | stops).items():
        if status is not Status.NOT_STARTED:
            state = with_task(state, key, status)
    for key, status in todo.stage_changes:
        state = with_stage(state, key, status)
    return state if todo.status is None else with_status(state, todo.status)
