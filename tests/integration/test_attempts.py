"""Steps that fail in a way that may pass: tried again, later and later; a look is no attempt.
And how long a task has for all of it.
"""

from __future__ import annotations

from datetime import timedelta

import pytest
import yaml

from codestream.core.clock import now
from executions.models import TaskRun
from executions.runners.base import Done, TaskFailedError
from executions.task_rules import timeout_of
from executions.tasks import MOST_ATTEMPTS
from tests.factories import PipelineFactory
from tests.integration.puppets import (
    Act,
    Busy,
    Puppets,
    pipeline_of,
    start,
    task_of,
    working,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("unbroken_stories")]


def test_every_try_that_fails_is_counted_and_the_next_one_comes_later(puppets: Puppets) -> None:
    puppets.acts["a"] = Busy("later")
    began = now()
    execution = start(pipeline_of("Main: a"))

    for attempt in range(2, 7):
        task = task_of(execution, "a")
        assert task.attempt == attempt
        assert task.wake_at is not None
        assert task.wake_at >= began + timedelta(seconds=min(2 ** (attempt - 1), 30))
        assert task.wake_at <= now() + timedelta(seconds=30)
        puppets.tell(execution, "a", Busy("later"))


def test_a_look_at_what_is_not_finished_is_no_attempt(puppets: Puppets) -> None:
    puppets.acts["a"] = working()
    execution = start(pipeline_of("Main: a"))

    for _ in range(3):
        puppets.tell(execution, "a", working())

    assert task_of(execution, "a").attempt == 1


@pytest.mark.parametrize(
    ("written", "minutes"), [("7", 7), ("0", 5), ("soon", 5), ("9" * 40, 366 * 24 * 60)]
)
def test_a_task_has_its_time_and_an_absurd_one_is_cut_short(
    puppets: Puppets, written: str, minutes: int
) -> None:
    puppets.acts["a"] = working()
    task = {"type": "PUPPET", "input": {"name": "a", "timeout": written}}
    stages = {"Main": {"taskOrder": ["a"], "tasks": {"a": task}}}
    source = {"name": "timed", "stageOrder": ["Main"], "stages": stages}
    execution = start(PipelineFactory.create(name="timed", source=yaml.safe_dump(source)))

    assert timeout_of(task_of(execution, "a")) == timedelta(minutes=minutes)


def test_a_task_that_was_tried_more_often_than_can_be_counted_is_tried_on(
    puppets: Puppets,
) -> None:
    puppets.acts["a"] = working()
    execution = start(pipeline_of("Main: a"))
    TaskRun.objects.update(attempt=MOST_ATTEMPTS)

    puppets.tell(execution, "a", Busy("later"))

    task = task_of(execution, "a")
    assert (task.status, task.attempt) == ("RUNNING", MOST_ATTEMPTS)


@pytest.mark.parametrize("refused", ["\x00", "\ud800"])
@pytest.mark.parametrize("where", ["message", "output", "failure"])
def test_what_no_database_takes_costs_nobody_the_result(
    puppets: Puppets, where: str, refused: str
) -> None:
    text = f"last lines: {refused} panic"
    acts: dict[str, Act] = {
        "message": Done(message=text),
        "output": Done(message="fine", output={"log": text}),
        "failure": TaskFailedError(text),
    }
    puppets.acts["a"] = acts[where]

    task = task_of(start(pipeline_of("Main: a")), "a")

    assert task.status == ("FAILED" if where == "failure" else "COMPLETED")
    assert "last lines: \ufffd panic" in (task.message, task.output.get("log"))
