"""A fault of ours in one execution ends that one; no other one is kept from going on by it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from django.db import IntegrityError

from codestream.core.clock import now
from codestream.core.work import wake
from executions import engine
from executions.models import Execution, RolloutWatch, TaskRun
from executions.run import Run
from executions.runners.base import Done, Watched
from executions.services import cancel_execution
from executions.states import Status
from executions.tasks import fail_task
from executions.waiting import keep_watch
from pipelines.models import Pipeline
from tests.factories import KubernetesFactory, UserFactory
from tests.integration.claims import kind_of, taken
from tests.integration.puppets import (
    Puppets,
    gaps,
    pipeline_of,
    start,
    statuses,
    task_of,
    working,
)

pytestmark = pytest.mark.django_db
SAID = re.compile(r"Internal error \((ZeroDivision|Integrity)Error\). The log has the details.")


def divide() -> None:
    raise ZeroDivisionError("by zero")


def write_what_is_there() -> None:
    """A statement that fails; on PostgreSQL its transaction fails with it."""
    Pipeline.objects.bulk_create([Pipeline.objects.earliest("pk")])


@pytest.fixture(params=[divide, write_what_is_there])
def fault(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A fault meets every execution that is started with ``wanted=broken`` when it asks whether
    the condition of a task is met.
    """
    strike: Callable[[], None] = request.param

    def choke(run: Run, _task: TaskRun) -> bool:
        if run.execution.inputs.get("wanted") == "broken":
            strike()
        return True

    monkeypatch.setattr(engine, "is_condition_met", choke)
    yield
    assert gaps() == []


def work(execution: Execution, name: str) -> None:
    """Do one step of the task as a worker does, who fails it when a fault ends the step."""
    held = taken(task_of(execution, name))
    kind = kind_of(held.row)
    try:
        kind.step(held)
    except (ZeroDivisionError, IntegrityError):
        kind.fail(held, "Internal error")


@pytest.mark.usefixtures("fault")
def test_who_gives_way_to_one_that_cannot_begin_is_done_and_so_is_the_next(
    puppets: Puppets, caplog: pytest.LogCaptureFixture
) -> None:
    pipeline = pipeline_of("Main: a, b", concurrency=1, inputs={"wanted": ""})
    puppets.acts["a"] = working()
    first, broken, last = start(pipeline), start(pipeline, wanted="broken"), start(pipeline)

    puppets.tell(first, "a", Done(message="fine"))

    assert statuses(first) == {"": "COMPLETED", "a": "COMPLETED", "b": "COMPLETED"}
    assert statuses(broken) == {"": "FAILED", "a": "NOT_STARTED", "b": "NOT_STARTED"}
    assert SAID.fullmatch(broken.message)
    assert statuses(last)[""] == "COMPLETED"
    assert f"{broken} cannot begin." in caplog.text


@pytest.mark.usefixtures("fault")
def test_a_person_cancels_although_the_next_in_line_cannot_begin(puppets: Puppets) -> None:
    pipeline = pipeline_of("Main: a", concurrency=1, inputs={"wanted": ""})
    puppets.acts["a"] = working()
    first, second = start(pipeline), start(pipeline, wanted="broken")
    third = start(pipeline)

    cancel_execution(execution=first, by=UserFactory.create())
    work(first, "a")

    assert [statuses(each)[""] for each in (first, second)] == ["CANCELED", "FAILED"]
    assert statuses(third)["a"] == "STARTED"


@pytest.mark.usefixtures("fault")
@pytest.mark.parametrize("may_fail", ["", "?"])
def test_one_that_cannot_go_on_after_a_task_ends_and_gives_its_place_away(
    puppets: Puppets, may_fail: str
) -> None:
    pipeline = pipeline_of(f"Main: a{may_fail} c, b", concurrency=1, inputs={"wanted": ""})
    puppets.acts["a"] = working()
    first, second = start(pipeline), start(pipeline)
    Execution.objects.filter(pk=first.pk).update(inputs={"wanted": "broken"})

    puppets.acts["a"] = Done(message="fine")
    work_again(first, "a")

    assert statuses(first) == {"": "FAILED", "a": "FAILED", "b": "NOT_STARTED", "c": "COMPLETED"}
    assert first.message
    assert statuses(second)["a"] == "STARTED"


def work_again(execution: Execution, name: str) -> None:
    wake(TaskRun, task_of(execution, name).pk)
    work(execution, name)


def test_a_fault_ends_what_was_watched_for_the_task(puppets: Puppets) -> None:
    puppets.acts["a"] = working()
    execution = start(pipeline_of("Main: a"))
    task = task_of(execution, "a")
    endpoint = KubernetesFactory.create(project=execution.project)
    keep_watch(task, Watched(endpoint=endpoint.pk, sights=(), until=now()))
    wake(TaskRun, task.pk)

    fail_task(taken(task_of(execution, "a")), "Internal error")

    assert statuses(execution)["a"] == Status.FAILED
    assert not RolloutWatch.objects.exists()
