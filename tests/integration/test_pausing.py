"""Pause and resume: what runs comes to its end, nothing begins meanwhile."""

from __future__ import annotations

import pytest

from codestream.accounts.models import User
from codestream.core.errors import Refused
from executions.runners.base import Done, TaskFailedError
from executions.services import (
    answer_task,
    cancel_execution,
    pause_execution,
    resume_execution,
    start_execution,
)
from executions.worker import drain
from tests.factories import UserFactory
from tests.integration.puppets import (
    Puppets,
    asking,
    pipeline_of,
    start,
    statuses,
    story,
    task_of,
    working,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("unbroken_stories")]


@pytest.fixture
def eve() -> User:
    made: User = UserFactory.create(username="eve")
    return made


def test_a_pause_lets_what_works_end_and_resuming_goes_on(puppets: Puppets, eve: User) -> None:
    puppets.acts["a"] = working()
    execution = start(pipeline_of("Main: a, b"))

    pause_execution(execution=execution, by=eve)
    drain()
    assert statuses(execution) == {"": "PAUSING", "a": "RUNNING", "b": "NOT_STARTED"}
    assert execution.message == "Paused by eve."
    assert execution.words.text == "Paused by %(user)s."
    puppets.tell(execution, "a", Done(message="fine"))
    assert statuses(execution) == {"": "PAUSED", "a": "COMPLETED", "b": "NOT_STARTED"}
    resume_execution(execution=execution, by=eve)
    drain()

    assert statuses(execution) == {"": "COMPLETED", "a": "COMPLETED", "b": "COMPLETED"}
    assert story(execution) == [
        ("scripted #1", "", "QUEUED"),
        ("scripted #1", "QUEUED", "RUNNING"),
        ("Main", "NOT_STARTED", "RUNNING"),
        ("Main.a", "NOT_STARTED", "STARTED"),
        ("Main.a", "STARTED", "RUNNING"),
        ("Pause requested", "", ""),
        ("scripted #1", "RUNNING", "PAUSING"),
        ("Main.a", "RUNNING", "COMPLETED"),
        ("scripted #1", "PAUSING", "PAUSED"),
        ("Resumed", "", ""),
        ("Main.b", "NOT_STARTED", "STARTED"),
        ("scripted #1", "PAUSED", "RUNNING"),
        ("Main.b", "STARTED", "COMPLETED"),
        ("Main", "RUNNING", "COMPLETED"),
        ("scripted #1", "RUNNING", "COMPLETED"),
    ]


def test_nothing_begins_in_a_pause_however_often_one_looks(puppets: Puppets, eve: User) -> None:
    puppets.acts["a"] = working()
    execution = start(pipeline_of("First: a", "Second: b"))
    pause_execution(execution=execution, by=eve)
    puppets.tell(execution, "a", Done(message="fine"))
    before = story(execution)

    pause_execution(execution=execution, by=eve)
    drain()

    assert statuses(execution)["b"] == "NOT_STARTED"
    assert puppets.calls == ["start a", "poll a"]
    assert story(execution) == before


def test_a_second_pause_is_the_first_ones(puppets: Puppets, eve: User) -> None:
    puppets.acts["a"] = working()
    execution = start(pipeline_of("Main: a"))
    pause_execution(execution=execution, by=eve)
    since = execution.pause_requested_at

    pause_execution(execution=execution, by=UserFactory(username="mallory"))

    assert (execution.pause_requested_by, execution.pause_requested_at) == ("eve", since)


def test_resuming_what_is_not_paused_leaves_no_trace(puppets: Puppets, eve: User) -> None:
    puppets.acts["a"] = working()
    execution = start(pipeline_of("Main: a"))
    before = story(execution)

    resume_execution(execution=execution, by=eve)

    assert story(execution) == before


def test_a_pause_that_is_taken_back_at_once_starts_nothing_twice(
    puppets: Puppets, eve: User
) -> None:
    puppets.acts["a"] = working()
    execution = start(pipeline_of("Main: a, b"))

    pause_execution(execution=execution, by=eve)
    resume_execution(execution=execution, by=eve)
    puppets.tell(execution, "a", Done(message="fine"))

    assert statuses(execution)[""] == "COMPLETED"
    assert puppets.calls == ["start a", "poll a", "start b"]


def test_one_that_waits_for_its_place_is_paused_when_it_gets_it(
    puppets: Puppets, eve: User
) -> None:
    pipeline = pipeline_of("Main: a", concurrency=1)
    puppets.acts["a"] = working()
    first, second, third = start(pipeline), start(pipeline), start(pipeline)

    pause_execution(execution=second, by=eve)
    assert second.status == "QUEUED"
    puppets.tell(first, "a", Done(message="fine"))

    assert statuses(second) == {"": "PAUSED", "a": "NOT_STARTED"}
    assert story(second)[-2:] == [
        ("scripted #2", "QUEUED", "RUNNING"),
        ("scripted #2", "RUNNING", "PAUSED"),
    ]
    assert statuses(third)[""] == "QUEUED", "a paused execution keeps its place"
    resume_execution(execution=second, by=eve)
    drain()
    assert (statuses(second)[""], statuses(third)[""]) == ("COMPLETED", "COMPLETED")


def test_a_paused_execution_is_canceled_at_once(puppets: Puppets, eve: User) -> None:
    puppets.acts["a"] = working()
    execution = start(pipeline_of("Main: a, b"))
    pause_execution(execution=execution, by=eve)
    puppets.tell(execution, "a", Done(message="fine"))

    cancel_execution(execution=execution, by=eve, reason="enough")

    assert statuses(execution) == {"": "CANCELED", "a": "COMPLETED", "b": "CANCELED"}
    assert execution.message == "Execution canceled by eve: enough"
    assert story(execution)[-4:] == [
        ("Cancel requested", "", ""),
        ("Main", "RUNNING", "CANCELED"),
        ("Main.b", "NOT_STARTED", "CANCELED"),
        ("scripted #1", "PAUSED", "CANCELED"),
    ]


def test_a_cancel_while_pausing_stops_what_works(puppets: Puppets, eve: User) -> None:
    puppets.acts["a"] = working()
    execution = start(pipeline_of("Main: a, b"))
    pause_execution(execution=execution, by=eve)

    cancel_execution(execution=execution, by=eve)
    assert statuses(execution) == {"": "CANCELING", "a": "CANCELING", "b": "CANCELED"}
    drain()

    assert statuses(execution) == {"": "CANCELED", "a": "CANCELED", "b": "CANCELED"}
    assert "cancel a" in puppets.calls


def test_a_failure_in_a_pause_ends_the_execution(puppets: Puppets, eve: User) -> None:
    puppets.acts["a"] = working()
    execution = start(pipeline_of("Main: a, b"))
    pause_execution(execution=execution, by=eve)

    puppets.tell(execution, "a", TaskFailedError("it broke"))

    assert statuses(execution) == {"": "FAILED", "a": "FAILED", "b": "NOT_STARTED"}
    assert execution.message == "Main.a: it broke"


def test_an_execution_whose_last_task_ends_in_a_pause_is_over(puppets: Puppets, eve: User) -> None:
    puppets.acts["a"] = working()
    execution = start(pipeline_of("Main: a"))
    pause_execution(execution=execution, by=eve)

    puppets.tell(execution, "a", Done(message="fine"))

    assert statuses(execution) == {"": "COMPLETED", "a": "COMPLETED"}


def test_a_task_that_waits_for_a_person_may_be_answered_and_end_in_a_pause(
    puppets: Puppets, eve: User
) -> None:
    puppets.acts["a"] = asking()
    execution = start(pipeline_of("Main: a, b"))
    pause_execution(execution=execution, by=eve)
    assert statuses(execution) == {"": "PAUSED", "a": "WAITING", "b": "NOT_STARTED"}

    puppets.acts["a"] = working()
    answer_task(task=task_of(execution, "a"), answer="yes", by=eve)
    drain()
    assert statuses(execution) == {"": "PAUSING", "a": "RUNNING", "b": "NOT_STARTED"}
    puppets.tell(execution, "a", Done(message="fine"))

    assert statuses(execution) == {"": "PAUSED", "a": "COMPLETED", "b": "NOT_STARTED"}


def test_what_is_over_is_neither_paused_nor_resumed(puppets: Puppets, eve: User) -> None:
    execution = start(pipeline_of("Main: a"))

    with pytest.raises(Refused, match="over already"):
        pause_execution(execution=execution, by=eve)
    with pytest.raises(Refused, match="over already"):
        resume_execution(execution=execution, by=eve)


def test_a_pause_before_the_first_look_lets_what_has_started_work(
    puppets: Puppets, eve: User
) -> None:
    execution = start_execution(
        pipeline=pipeline_of("Main: a, b"), inputs={}, run_as=eve, triggered_by="eve"
    )

    pause_execution(execution=execution, by=eve)
    drain()

    assert statuses(execution) == {"": "PAUSED", "a": "COMPLETED", "b": "NOT_STARTED"}
