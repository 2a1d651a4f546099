"""What an execution does next: by example, and driven to its end with random outcomes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executions.plan import NOTHING, ExecutionState, Key, Plan, StageState, plan
from executions.states import TERMINAL, Status, roll_up
from tests.unit.standing import TaskState, carry_out, tasks_of, with_task

Layout = list[list[int]]
"""For each stage the number of tasks of each of its groups."""


def task(key: str, status: str = "NOT_STARTED") -> TaskState:
    return TaskState(key, Status(status))


def stage(key: str, *groups: tuple[TaskState, ...], status: str = "NOT_STARTED") -> StageState:
    return StageState(key=key, status=Status(status), groups=tuple(map(dict, groups)))


def execution(*stages: StageState, status: str = "RUNNING", **requests: bool) -> ExecutionState:
    return ExecutionState(status=Status(status), stages=stages, **requests)


def test_the_first_group_of_the_first_stage_starts_side_by_side() -> None:
    state = execution(stage("Dev", (task("a"), task("b")), (task("c"),)), stage("Prod"))

    assert plan(state) == Plan(start=("a", "b"), stage_changes=(("Dev", Status.RUNNING),))


def test_the_next_group_waits_for_the_whole_group_before() -> None:
    dev = stage(
        "Dev", (task("a", "COMPLETED"), task("b", "RUNNING")), (task("c"),), status="RUNNING"
    )

    assert plan(execution(dev)) == NOTHING


def test_the_next_stage_starts_when_the_stage_before_completes() -> None:
    dev = stage("Dev", (task("a", "COMPLETED"),), status="RUNNING")

    assert plan(execution(dev, stage("Prod", (task("b"),)))) == Plan(
        start=("b",),
        stage_changes=(("Dev", Status.COMPLETED), ("Prod", Status.RUNNING)),
    )


def test_the_execution_completes_with_its_last_task() -> None:
    dev = stage("Dev", (task("a", "COMPLETED"),), status="RUNNING")

    assert plan(execution(dev)) == Plan(
        stage_changes=(("Dev", Status.COMPLETED),), status=Status.COMPLETED
    )


@pytest.mark.parametrize("stages", [(), (stage("Dev"),), (stage("Dev", ()), stage("Prod"))])
def test_an_execution_without_tasks_completes(stages: tuple[StageState, ...]) -> None:
    assert plan(execution(*stages)).status is Status.COMPLETED


def test_a_queued_execution_waits_for_a_slot() -> None:
    state = execution(stage("Dev", (task("a"),)), status="QUEUED")

    assert plan(state) == NOTHING


def test_a_failed_task_lets_its_group_mates_end() -> None:
    dev = stage("Dev", (task("a", "FAILED"), task("b", "RUNNING")), (task("c"),), status="RUNNING")

    assert plan(execution(dev)) == NOTHING


def test_a_failed_task_fails_stage_and_execution_and_later_tasks_stay_as_they_are() -> None:
    dev = stage(
        "Dev", (task("a", "COMPLETED"), task("b", "FAILED")), (task("c"),), status="RUNNING"
    )

    assert plan(execution(dev, stage("Prod", (task("d"),)))) == Plan(
        stage_changes=(("Dev", Status.FAILED),), status=Status.FAILED
    )


def test_a_failure_that_is_to_be_ignored_does_not_stop_the_stage() -> None:
    dev = stage("Dev", (task("a", "FAILED_CONTINUE"),), (task("b"),), status="RUNNING")

    assert plan(execution(dev)) == Plan(start=("b",))


def test_a_stage_with_an_ignored_failure_completes() -> None:
    dev = stage("Dev", (task("a", "FAILED_CONTINUE"),), status="RUNNING")

    assert plan(execution(dev)).stage_changes == (("Dev", Status.COMPLETED),)


def test_after_tasks_whose_preconditions_are_false_the_next_group_starts() -> None:
    before = execution(stage("Dev", (task("a"), task("b")), (task("c"),)))

    first = plan(before)
    second = plan(carry_out(before, first, instead=dict.fromkeys("ab", Status.SKIPPED)))

    assert first.start == ("a", "b")
    assert second.start == ("c",)


def test_a_task_that_is_skipped_does_not_keep_its_mates_from_working() -> None:
    dev = stage("Dev", (task("a", "SKIPPED"), task("b", "STARTED")), (task("c"),), status="RUNNING")

    assert plan(execution(dev)) == NOTHING


def test_an_execution_whose_every_task_was_skipped_completes() -> None:
    todo = plan(execution(stage("Dev", (task("a", "SKIPPED"),), status="RUNNING")))

    assert todo.stage_changes == (("Dev", Status.SKIPPED),)
    assert todo.status is Status.COMPLETED


def test_a_task_that_fails_by_its_precondition_fails_the_execution() -> None:
    before = execution(stage("Dev", (task("a"),), (task("b"),)))

    todo = plan(carry_out(before, plan(before), instead={"a": Status.FAILED}))

    assert todo == Plan(stage_changes=(("Dev", Status.FAILED),), status=Status.FAILED)


def test_a_task_that_waits_for_a_person_makes_the_execution_wait() -> None:
    dev = stage("Dev", (task("a", "WAITING"),), status="RUNNING")

    assert plan(execution(dev)) == Plan(
        stage_changes=(("Dev", Status.WAITING),), status=Status.WAITING
    )


def test_a_task_that_a_person_refused_cancels_the_execution() -> None:
    dev = stage("Dev", (task("a", "CANCELED"),), (task("b"),), status="WAITING")

    assert plan(execution(dev, status="WAITING")) == Plan(
        stage_changes=(("Dev", Status.CANCELED),), status=Status.CANCELED
    )


def test_cancel_asks_what_works_and_ends_what_has_not_begun() -> None:
    dev = stage("Dev", (task("a", "RUNNING"), task("b", "COMPLETED")), status="RUNNING")
    prod = stage("Prod", (task("c"),))

    assert plan(execution(dev, prod, cancel_requested=True)) == Plan(
        cancel=("a", "c"),
        stage_changes=(("Dev", Status.CANCELING), ("Prod", Status.CANCELED)),
        status=Status.CANCELING,
    )


def test_a_stage_without_tasks_is_not_reached_after_a_failure() -> None:
    dev = stage("Dev", (task("a", "FAILED"),), status="RUNNING")

    assert plan(execution(dev, stage("Prod"))).stage_changes == (("Dev", Status.FAILED),)


@pytest.mark.parametrize("stages", [(), (stage("Dev"),)])
def test_a_canceled_execution_without_tasks_is_canceled(stages: tuple[StageState, ...]) -> None:
    state = execution(*stages, status="QUEUED", cancel_requested=True)

    assert plan(state).status is Status.CANCELED


def test_a_task_that_was_asked_to_stop_is_not_asked_again() -> None:
    dev = stage("Dev", (task("a", "CANCELING"),), status="CANCELING")

    assert plan(execution(dev, status="CANCELING", cancel_requested=True)) == NOTHING


def test_a_canceled_execution_ends_when_nothing_works_any_more() -> None:
    dev = stage("Dev", (task("a", "CANCELED"),), status="CANCELING")

    assert plan(execution(dev, status="CANCELING", cancel_requested=True)) == Plan(
        stage_changes=(("Dev", Status.CANCELED),), status=Status.CANCELED
    )


def test_of_a_canceled_execution_a_rollback_may_be_left() -> None:
    dev = stage("Dev", (task("a", "ROLLING_BACK"), task("b", "CANCELED")), status="CANCELING")

    assert plan(execution(dev, status="CANCELING", cancel_requested=True)) == Plan(
        stage_changes=(("Dev", Status.ROLLING_BACK),), status=Status.ROLLING_BACK
    )


def test_a_queued_execution_can_be_canceled() -> None:
    state = execution(stage("Dev", (task("a"),)), status="QUEUED", cancel_requested=True)

    assert plan(state).status is Status.CANCELED


def test_a_cancel_that_came_too_late_to_stop_anything_leaves_the_outcome_as_it_is() -> None:
    dev = stage("Dev", (task("a", "COMPLETED"),), status="RUNNING")

    assert plan(execution(dev, cancel_requested=True)).status is Status.COMPLETED


def test_pause_starts_nothing_new_and_is_reached_when_nothing_works() -> None:
    working = stage("Dev", (task("a", "RUNNING"),), (task("b"),), status="RUNNING")
    idle = stage("Dev", (task("a", "COMPLETED"),), (task("b"),), status="RUNNING")

    assert plan(execution(working, pause_requested=True)) == Plan(status=Status.PAUSING)
    assert plan(execution(idle, pause_requested=True)) == Plan(status=Status.PAUSED)


def test_a_task_that_waits_for_a_person_does_not_keep_a_pause_from_being_reached() -> None:
    dev = stage("Dev", (task("a", "WAITING"),), status="WAITING")

    assert plan(execution(dev, pause_requested=True)) == Plan(status=Status.PAUSED)


def test_a_paused_execution_goes_on_when_the_request_is_withdrawn() -> None:
    dev = stage("Dev", (task("a", "COMPLETED"),), (task("b"),), status="RUNNING")

    assert plan(execution(dev, status="PAUSED")) == Plan(start=("b",), status=Status.RUNNING)


@pytest.mark.parametrize("status", sorted(TERMINAL))
def test_an_execution_that_is_over_has_nothing_to_do(status: Status) -> None:
    state = execution(stage("Dev", (task("a"),)), status=status, cancel_requested=True)

    assert plan(state) == NOTHING


layouts: st.SearchStrategy[Layout] = st.lists(st.lists(st.integers(0, 3), max_size=3), max_size=3)


@st.composite
def fresh_executions(draw: st.DrawFn) -> ExecutionState:
    return ExecutionState(
        status=Status.RUNNING,
        stages=tuple(
            StageState(
                key=f"S{s}",
                status=Status.NOT_STARTED,
                groups=tuple(
                    {f"S{s}.{g}.{t}": Status.NOT_STARTED for t in range(size)}
                    for g, size in enumerate(groups)
                ),
            )
            for s, groups in enumerate(draw(layouts))
        ),
    )


def assert_earlier_groups_are_over(state: ExecutionState, started: Key) -> None:
    for stage in state.stages:
        for group in stage.groups:
            if started in group:
                return
            assert TERMINAL.issuperset(group.values())


def one_event(state: ExecutionState, data: st.DataObject) -> ExecutionState:
    """Let one thing happen: a task that is alive changes, or a person asks for something."""
    alive = [task for task in tasks_of(state) if task.status not in TERMINAL | {Status.NOT_STARTED}]
    if not alive:
        assert state.pause_requested, "nothing works and nobody asked for a pause"
        return replace(state, pause_requested=False)
    asked = data.draw(st.sampled_from([None, None, None, "cancel", "pause"]))
    if asked == "cancel":
        return replace(state, cancel_requested=True)
    if asked == "pause":
        return replace(state, pause_requested=not state.pause_requested)
    chosen = data.draw(st.sampled_from(alive))
    return with_task(state, chosen.key, data.draw(st.sampled_from(next_states(chosen))))


def next_states(task: TaskState) -> list[Status]:
    ends = [Status.COMPLETED, Status.FAILED, Status.FAILED_CONTINUE, Status.CANCELED]
    if task.status is Status.STARTED:
        return [Status.RUNNING, Status.WAITING, *ends]
    return ends


@given(fresh_executions(), st.data())
def test_every_execution_comes_to_exactly_one_end_whatever_happens(
    state: ExecutionState, data: st.DataObject
) -> None:
    ends = 0
    for _ in range(400):
        todo = plan(state)
        assert plan(state) == todo
        for key in todo.start:
            assert_earlier_groups_are_over(state, key)
        skipped = [key for key in todo.start if data.draw(st.booleans())]
        state = carry_out(state, todo, instead=dict.fromkeys(skipped, Status.SKIPPED))
        ends += todo.status in TERMINAL
        if state.status in TERMINAL:
            break
        if todo == NOTHING:
            state = one_event(state, data)

    assert ends == 1
    assert plan(state) == NOTHING


@given(fresh_executions(), st.data())
def test_at_the_end_the_states_of_the_whole_agree_with_those_of_the_parts(
    state: ExecutionState, data: st.DataObject
) -> None:
    while state.status not in TERMINAL:
        todo = plan(state)
        skipped = [key for key in todo.start if data.draw(st.booleans())]
        state = carry_out(state, todo, instead=dict.fromkeys(skipped, Status.SKIPPED))
        if todo == NOTHING:
            state = one_event(state, data)

    rolled = roll_up(stage.status for stage in state.stages)
    assert state.status is (Status.COMPLETED if rolled is Status.SKIPPED else rolled)
    assert not any(task.status not in TERMINAL | {Status.NOT_STARTED} for task in tasks_of(state))
