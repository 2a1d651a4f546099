"""The table of states, and the state of a whole made of parts."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executions.states import (
    TERMINAL,
    TRANSITIONS,
    Status,
    can_change,
    roll_up,
)

statuses = st.sampled_from(Status)


def reachable(start: Status) -> set[Status]:
    seen: set[Status] = set()
    ahead = {start}
    while ahead:
        seen |= ahead
        ahead = {target for status in ahead for target in TRANSITIONS[status]} - seen
    return seen


def test_the_eighteen_states_of_the_api_are_all_in_the_table() -> None:
    assert len(Status) == 18
    assert set(TRANSITIONS) == set(Status)


def test_the_ends_are_known_by_name() -> None:
    assert {
        Status.COMPLETED,
        Status.SKIPPED,
        Status.FAILED,
        Status.FAILED_CONTINUE,
        Status.CANCELED,
        Status.ROLLBACK_COMPLETED,
        Status.ROLLBACK_FAILED,
    } == TERMINAL


@given(statuses, statuses)
def test_an_end_has_no_way_out(status: Status, target: Status) -> None:
    if status in TERMINAL:
        assert not can_change(status, target)


@given(statuses)
def test_every_state_can_reach_an_end(status: Status) -> None:
    assert reachable(status) & TERMINAL


@given(statuses)
def test_no_state_follows_itself(status: Status) -> None:
    assert not can_change(status, status)


@pytest.mark.parametrize(
    "life",
    [
        "QUEUED RUNNING COMPLETED",
        "QUEUED CANCELED",
        "QUEUED RUNNING PAUSING PAUSED RESUMING RUNNING FAILED",
        "QUEUED RUNNING WAITING CANCELING CANCELED",
        "NOT_STARTED RUNNING COMPLETED",
        "NOT_STARTED SKIPPED",
        "NOT_STARTED STARTED RUNNING WAITING RUNNING FAILED_CONTINUE",
        "NOT_STARTED STARTED RUNNING CANCELING CANCELED",
    ],
)
def test_the_usual_lives_are_possible(life: str) -> None:
    states = [Status(name) for name in life.split()]

    assert all(can_change(*pair) for pair in pairwise(states))


@pytest.mark.parametrize(
    ("current", "target"),
    [
        (Status.QUEUED, Status.COMPLETED),
        (Status.RUNNING, Status.QUEUED),
        (Status.CANCELING, Status.RUNNING),
        (Status.NOT_STARTED, Status.WAITING),
    ],
)
def test_what_is_not_listed_cannot_happen(current: Status, target: Status) -> None:
    assert not can_change(current, target)


@pytest.mark.parametrize(
    ("parts", "whole"),
    [
        ("", "COMPLETED"),
        ("NOT_STARTED NOT_STARTED", "NOT_STARTED"),
        ("STARTED", "RUNNING"),
        ("COMPLETED NOT_STARTED", "RUNNING"),
        ("SKIPPED NOT_STARTED", "RUNNING"),
        ("COMPLETED FAILED_CONTINUE SKIPPED", "COMPLETED"),
        ("SKIPPED SKIPPED", "SKIPPED"),
        ("FAILED RUNNING", "RUNNING"),
        ("RUNNING WAITING", "WAITING"),
        ("WAITING CANCELING", "CANCELING"),
        ("ROLLING_BACK COMPLETED", "ROLLING_BACK"),
        ("ROLLING_BACK RUNNING", "RUNNING"),
        ("ROLLING_BACK WAITING", "WAITING"),
        ("COMPLETED FAILED NOT_STARTED", "FAILED"),
        ("FAILED CANCELED", "CANCELED"),
    ],
)
def test_the_whole_follows_its_parts(parts: str, whole: str) -> None:
    assert roll_up(Status(name) for name in parts.split()) is Status(whole)


@given(st.lists(statuses, max_size=6))
def test_a_whole_is_alive_while_a_part_is(parts: list[Status]) -> None:
    alive = [part for part in parts if part not in TERMINAL | {Status.NOT_STARTED}]

    if alive:
        assert roll_up(parts) not in TERMINAL


@given(st.lists(st.sampled_from(sorted(TERMINAL)), max_size=6))
def test_a_whole_is_over_when_every_part_is(parts: list[Status]) -> None:
    assert roll_up(parts) in TERMINAL
