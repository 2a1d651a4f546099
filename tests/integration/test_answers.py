"""Tasks that wait for a person: asked, answered once, and what becomes of late answers."""

from __future__ import annotations

from datetime import timedelta

import pytest

from codestream.accounts.models import User
from codestream.core.clock import now
from codestream.core.errors import Refused
from codestream.core.work import wake
from executions.models import Execution, TaskRun
from executions.runners.base import Answer, Done, Hold, Outcome, TaskContext, TaskFailedError
from executions.services import answer_task, cancel_execution
from executions.worker import drain
from tests.factories import UserFactory
from tests.integration.puppets import (
    Busy,
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
def bob() -> User:
    made: User = UserFactory.create(username="bob")
    return made


@pytest.fixture
def asked(puppets: Puppets) -> Execution:
    """An execution that waits for a person."""
    puppets.acts["a"] = asking()
    return start(pipeline_of("Main: a, b"))


def repeat(context: TaskContext) -> Outcome:
    """Complete with what a person said; ask where nobody has said anything."""
    if context.answer is None:
        return asking()
    return Done(message=f"{context.answer.by} said {context.answer.word}")


def test_a_task_asks_and_goes_on_with_the_answer(
    puppets: Puppets, asked: Execution, bob: User
) -> None:
    assert statuses(asked) == {"": "WAITING", "a": "WAITING", "b": "NOT_STARTED"}
    heard: list[Answer | None] = []

    def listen(context: TaskContext) -> Outcome:
        heard.append(context.answer)
        return working()

    puppets.acts["a"] = listen
    answer_task(task=task_of(asked, "a"), answer="approve", by=bob, comment="looks good")
    drain()
    assert statuses(asked) == {"": "RUNNING", "a": "RUNNING", "b": "NOT_STARTED"}
    puppets.tell(asked, "a", Done(message="fine"))

    assert heard == [Answer(word="approve", by="bob", comment="looks good")]
    assert story(asked) == [
        ("scripted #1", "", "QUEUED"),
        ("scripted #1", "QUEUED", "RUNNING"),
        ("Main", "NOT_STARTED", "RUNNING"),
        ("Main.a", "NOT_STARTED", "STARTED"),
        ("Main.a", "STARTED", "WAITING"),
        ("Main", "RUNNING", "WAITING"),
        ("scripted #1", "RUNNING", "WAITING"),
        ("Main.a", "", ""),
        ("Main.a", "WAITING", "RUNNING"),
        ("Main", "WAITING", "RUNNING"),
        ("scripted #1", "WAITING", "RUNNING"),
        ("Main.a", "RUNNING", "COMPLETED"),
        ("Main.b", "NOT_STARTED", "STARTED"),
        ("Main.b", "STARTED", "COMPLETED"),
        ("Main", "RUNNING", "COMPLETED"),
        ("scripted #1", "RUNNING", "COMPLETED"),
    ]
    request = asked.events.get(kind="request")
    assert (request.actor, request.message) == ("bob", "approve: looks good")


def test_a_task_that_asks_goes_on_waiting_while_an_outside_system_is_away(
    puppets: Puppets, asked: Execution, bob: User
) -> None:
    puppets.tell(asked, "a", Busy("the system is away"))
    assert statuses(asked) == {"": "WAITING", "a": "WAITING", "b": "NOT_STARTED"}

    puppets.tell(asked, "a", repeat)
    answer_task(task=task_of(asked, "a"), answer="approve", by=bob)
    drain()

    assert statuses(asked) == {"": "COMPLETED", "a": "COMPLETED", "b": "COMPLETED"}


def test_a_task_that_has_its_answer_runs_while_an_outside_system_is_away(
    puppets: Puppets, asked: Execution, bob: User
) -> None:
    puppets.acts["a"] = Busy("the system is away")
    answer_task(task=task_of(asked, "a"), answer="approve", by=bob)
    drain()

    assert statuses(asked)["a"] == "RUNNING"


def test_a_task_that_asks_is_not_looked_at_until_there_is_an_answer(
    puppets: Puppets, asked: Execution
) -> None:
    drain()

    assert puppets.calls == ["start a"]
    assert task_of(asked, "a").wake_at is None


def test_an_answer_that_refuses_fails_the_task(
    puppets: Puppets, asked: Execution, bob: User
) -> None:
    puppets.acts["a"] = TaskFailedError("refused by bob")

    answer_task(task=task_of(asked, "a"), answer="reject", by=bob)
    drain()

    assert statuses(asked) == {"": "FAILED", "a": "FAILED", "b": "NOT_STARTED"}
    assert asked.message == "Main.a: refused by bob"


def test_the_first_answer_counts(puppets: Puppets, asked: Execution, bob: User) -> None:
    puppets.acts["a"] = repeat
    task = task_of(asked, "a")
    answer_task(task=task, answer="approve", by=bob)

    with pytest.raises(Refused, match="does not wait"):
        answer_task(task=task, answer="reject", by=UserFactory(username="eve"))
    drain()

    assert task_of(asked, "a").message == "bob said approve"
    assert asked.events.filter(kind="request").count() == 1


def test_a_task_that_is_over_takes_no_answer(puppets: Puppets, bob: User) -> None:
    execution = start(pipeline_of("Main: a"))
    before = story(execution)

    with pytest.raises(Refused, match="does not wait"):
        answer_task(task=task_of(execution, "a"), answer="approve", by=bob)

    assert task_of(execution, "a").answered_at is None
    assert story(execution) == before


def test_a_task_that_works_or_has_not_begun_takes_no_answer(puppets: Puppets, bob: User) -> None:
    puppets.acts["a"] = working()
    execution = start(pipeline_of("Main: a, b"))

    for name in ("a", "b"):
        with pytest.raises(Refused, match="does not wait"):
            answer_task(task=task_of(execution, name), answer="approve", by=bob)


def test_a_cancel_comes_before_a_later_answer(
    puppets: Puppets, asked: Execution, bob: User
) -> None:
    cancel_execution(execution=asked, by=bob)
    assert statuses(asked) == {"": "CANCELING", "a": "CANCELING", "b": "CANCELED"}

    with pytest.raises(Refused, match="does not wait"):
        answer_task(task=task_of(asked, "a"), answer="approve", by=bob)
    drain()

    assert statuses(asked) == {"": "CANCELED", "a": "CANCELED", "b": "CANCELED"}


def test_a_cancel_comes_before_an_earlier_answer_that_nobody_has_looked_at(
    puppets: Puppets, asked: Execution, bob: User
) -> None:
    puppets.acts["a"] = repeat
    answer_task(task=task_of(asked, "a"), answer="approve", by=bob)

    cancel_execution(execution=asked, by=bob)
    drain()

    assert statuses(asked) == {"": "CANCELED", "a": "CANCELED", "b": "CANCELED"}
    assert puppets.calls == ["start a", "cancel a"]


def test_waiting_for_a_person_does_not_use_up_the_time_of_the_task(
    puppets: Puppets, asked: Execution, bob: User
) -> None:
    TaskRun.objects.update(deadline_at=now() - timedelta(days=3))
    puppets.acts["a"] = working()

    answer_task(task=task_of(asked, "a"), answer="approve", by=bob)
    drain()

    task = task_of(asked, "a")
    assert task.status == "RUNNING"
    assert task.deadline_at is not None
    assert task.deadline_at > now()


def test_a_question_may_have_an_end_of_its_own(puppets: Puppets) -> None:
    puppets.acts["a"] = Hold(message="go on?", cursor={"seen": True}, until=now())
    execution = start(pipeline_of("Main: a"))

    puppets.tell(execution, "a", TaskFailedError("nobody answered"))

    assert statuses(execution) == {"": "FAILED", "a": "FAILED"}


def test_a_second_question_waits_for_a_second_answer(
    puppets: Puppets, asked: Execution, bob: User
) -> None:
    for question in ("are you sure?", "are you sure?", "really?"):
        puppets.acts["a"] = asking(question)
        answer_task(task=task_of(asked, "a"), answer="yes", by=bob)
        drain()
        assert statuses(asked)["a"] == "WAITING"
    puppets.acts["a"] = repeat
    drain()
    assert puppets.calls == ["start a", "poll a", "poll a", "poll a"]

    answer_task(task=task_of(asked, "a"), answer="at last", by=bob)
    drain()

    assert task_of(asked, "a").message == "bob said at last"


@pytest.mark.parametrize("question", ["go on?", "are you sure?"])
def test_an_answer_given_while_the_task_is_looked_at_is_heard(
    puppets: Puppets, asked: Execution, bob: User, question: str
) -> None:
    def be_answered_meanwhile(context: TaskContext) -> Outcome:
        if context.answer is None:
            answer_task(task=task_of(asked, "a"), answer="approve", by=bob)
            return asking(question)
        return repeat(context)

    puppets.tell(asked, "a", be_answered_meanwhile)

    assert task_of(asked, "a").message == "bob said approve"


def test_an_answer_outlives_an_outside_system_that_is_busy(
    puppets: Puppets, asked: Execution, bob: User
) -> None:
    puppets.acts["a"] = Busy("later")
    answer_task(task=task_of(asked, "a"), answer="approve", by=bob)
    drain()
    assert statuses(asked)["a"] == "RUNNING"

    puppets.tell(asked, "a", repeat)

    assert task_of(asked, "a").message == "bob said approve"


def test_people_are_asked_side_by_side(puppets: Puppets, bob: User) -> None:
    puppets.acts |= {"a": repeat, "b": repeat}
    execution = start(pipeline_of("Main: a b, c"))

    answer_task(task=task_of(execution, "b"), answer="yes", by=bob)
    drain()
    assert statuses(execution) == {
        "": "WAITING",
        "a": "WAITING",
        "b": "COMPLETED",
        "c": "NOT_STARTED",
    }
    answer_task(task=task_of(execution, "a"), answer="yes", by=bob)
    drain()

    assert statuses(execution)[""] == "COMPLETED"


def test_a_question_that_is_asked_again_keeps_its_answer_for_the_next_look(
    puppets: Puppets, asked: Execution, bob: User
) -> None:
    """A wake without an answer (a sweep, a hint that came twice) changes nothing."""
    wake(TaskRun, task_of(asked, "a").pk)
    drain()
    puppets.acts["a"] = repeat

    answer_task(task=task_of(asked, "a"), answer="yes", by=bob)
    drain()

    assert statuses(asked)[""] == "COMPLETED"
