"""A fault of ours in one execution ends that one; no other one is kept from going on by it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from unittest.mock import Mock

import pytest
from django.db import IntegrityError, OperationalError

from codestream.core.clock import now
from codestream.core.work import wake
from codestream.operations.places import FREE_PLACES
from executions import engine, tasks
from executions.models import Execution, RolloutWatch, TaskRun
from executions.run import Run
from executions.runners.base import Done, Watched
from executions.services import cancel_execution
from executions.tasks import fail_task, work_task
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


@pytest.mark.parametrize("may_fail", ["", "?"])
def test_a_fault_after_the_step_ends_what_was_watched_and_no_other_task(
    puppets: Puppets, monkeypatch: pytest.MonkeyPatch, may_fail: str
) -> None:
    puppets.acts |= {"a": working(), "b": working()}
    execution = start(pipeline_of(f"Main: a{may_fail} b, c"))
    watch_for(task_of(execution, "a"))

    puppets.acts["a"] = Done(message="fine")
    with monkeypatch.context() as fault:
        fault.setattr(tasks, "note_pushes", Mock(side_effect=[ZeroDivisionError, None]))
        work_again(execution, "a")

    ended = "FAILED_CONTINUE" if may_fail else "FAILED"
    assert statuses(execution) == {"": "RUNNING", "a": ended, "b": "RUNNING", "c": "NOT_STARTED"}
    assert not RolloutWatch.objects.exists()


@pytest.mark.usefixtures("fault")
def test_what_is_broken_off_is_watched_no_more(puppets: Puppets) -> None:
    puppets.acts |= {"a": working(), "b": working()}
    execution = start(pipeline_of("Main: a? b?, c", inputs={"wanted": ""}))
    Execution.objects.filter(pk=execution.pk).update(inputs={"wanted": "broken"})
    for name in "ab":
        watch_for(task_of(execution, name))

    puppets.acts |= dict.fromkeys("ab", Done(message="fine"))
    for name in "ab":
        work_again(execution, name)

    assert statuses(execution)[""] == "FAILED"
    assert not RolloutWatch.objects.exists()


def watch_for(task: TaskRun) -> None:
    endpoint = KubernetesFactory.create(project=task.stage_run.execution.project)
    keep_watch(task, Watched(endpoint=endpoint.pk, sights=(), until=now()))


@pytest.fixture(params=[OperationalError("the disk is full"), OSError(24, "Too many open files")])
def outage(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Exception:
    """What meets every execution that is started with ``wanted=broken``, until it passes."""
    error: Exception = request.param

    def choke(run: Run, _task: TaskRun) -> bool:
        if run.execution.inputs.get("wanted") == "broken":
            raise error
        return True

    monkeypatch.setattr(engine, "is_condition_met", choke)
    return error


def test_what_passes_by_itself_fails_nobody_who_waits(puppets: Puppets, outage: Exception) -> None:
    pipeline = pipeline_of("Main: a", concurrency=1, inputs={"wanted": ""})
    puppets.acts["a"] = working()
    first, second = start(pipeline), start(pipeline, wanted="broken")
    puppets.acts["a"] = Done(message="fine")
    wake(TaskRun, task_of(first, "a").pk)
    held = taken(task_of(first, "a"))

    is_database = isinstance(outage, OperationalError)
    with pytest.raises(OperationalError) if is_database else nullcontext():
        work_task(held)
    assert statuses(first)[""] == "RUNNING" if is_database else "COMPLETED"
    assert statuses(second)[""] == "QUEUED"

    Pipeline.objects.update(concurrency=2)
    with pytest.raises(OperationalError) if is_database else nullcontext():
        FREE_PLACES.run(lambda: False)
    assert statuses(second)[""] == "QUEUED"

    Execution.objects.filter(pk=second.pk).update(inputs={})
    FREE_PLACES.run(lambda: False)
    assert statuses(second)[""] == "RUNNING"


@pytest.mark.parametrize("outage", [OperationalError("the disk is full")], indirect=True)
def test_a_task_whose_failure_the_database_refuses_is_failed_later(
    puppets: Puppets, outage: Exception
) -> None:
    puppets.acts["a"] = working()
    execution = start(pipeline_of("Main: a?, b", inputs={"wanted": ""}))
    Execution.objects.filter(pk=execution.pk).update(inputs={"wanted": "broken"})
    wake(TaskRun, task_of(execution, "a").pk)
    held = taken(task_of(execution, "a"))

    with pytest.raises(OperationalError):
        fail_task(held, "Internal error")
    assert statuses(execution)["a"] == "RUNNING"

    Execution.objects.filter(pk=execution.pk).update(inputs={})
    fail_task(held, "Internal error")
    assert statuses(execution)["a"] == "FAILED_CONTINUE"
