"""Executions whose definition can no longer be read, as after an upgrade that refuses its text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from codestream.core.work import wake
from executions import definitions, runners
from executions.models import Execution, TaskRun
from executions.runners.base import Done, Outcome, TaskContext, TaskFailedError
from executions.services import cancel_execution, start_execution
from executions.states import Status
from executions.tasks import fail_task, work_task
from executions.worker import drain
from pipelines import task_kinds
from pipelines.models import Pipeline, PipelineRevision
from pipelines.services import save_pipeline
from tests.factories import UserFactory
from tests.integration.claims import taken
from tests.integration.puppets import Puppets, asking, pipeline_of, task_of, working

pytestmark = pytest.mark.django_db
WORDS = "The definition can no longer be read: "


@pytest.fixture
def puppets(monkeypatch: pytest.MonkeyPatch) -> Iterator[Puppets]:
    runner = Puppets()
    monkeypatch.setattr(task_kinds, "_known", {"PUPPET"})
    monkeypatch.setattr(runners, "_runners", {"PUPPET": runner})
    yield runner
    definitions.definition_of.cache_clear()


def start(pipeline: Pipeline) -> Execution:
    """Start it at a revision of its own."""
    pipeline.refresh_from_db()
    assert pipeline.current_revision is not None
    source = yaml.safe_load(pipeline.current_revision.source)
    source["description"] = f"{source.get('description', '')}."
    text = yaml.safe_dump(source)
    save_pipeline(project=pipeline.project, source=text, author=None, pipeline=pipeline)
    return start_execution(pipeline=pipeline, inputs={}, run_as=None, triggered_by="somebody")


def spoil(execution: Execution) -> None:
    PipelineRevision.objects.filter(pk=execution.revision_id).update(source="stages: [")
    definitions.definition_of.cache_clear()


def states(*executions: Execution) -> list[str]:
    for execution in executions:
        execution.refresh_from_db()
    return [execution.status for execution in executions]


def test_one_in_the_queue_fails_and_those_behind_it_have_their_turn(puppets: Puppets) -> None:
    puppets.acts["a"] = working()
    pipeline = pipeline_of("Main: a", concurrency=1)
    first, spoiled, third = start(pipeline), start(pipeline), start(pipeline)
    spoil(spoiled)
    drain()

    del puppets.acts["a"]
    wake(TaskRun, TaskRun.objects.get(stage_run__execution=first).pk)
    drain()

    assert states(first, spoiled, third) == ["COMPLETED", "FAILED", "COMPLETED"]
    assert spoiled.message.startswith(WORDS)


@pytest.mark.parametrize("act", [working(), asking()], ids=["at work", "waiting"])
def test_one_under_way_fails_and_gives_its_place_away(puppets: Puppets, act: object) -> None:
    puppets.acts["a"] = act  # type: ignore[assignment]
    pipeline = pipeline_of("Main: a b, c", concurrency=1)
    spoiled, second = start(pipeline), start(pipeline)
    drain()
    spoil(spoiled)

    del puppets.acts["a"]
    wake(TaskRun, TaskRun.objects.get(stage_run__execution=spoiled, name="a").pk)
    drain()

    assert states(spoiled, second) == ["FAILED", "COMPLETED"]
    assert spoiled.message.startswith(WORDS)
    left = TaskRun.objects.filter(stage_run__execution=spoiled)
    assert dict(left.values_list("name", "status")) == {
        "a": Status.FAILED,
        "b": Status.COMPLETED,
        "c": Status.NOT_STARTED,
    }
    assert not left.exclude(wake_at=None).exists()


def test_one_under_way_can_be_canceled(puppets: Puppets) -> None:
    puppets.acts["a"] = working()
    spoiled = start(pipeline_of("Main: a"))
    drain()
    spoil(spoiled)

    cancel_execution(execution=spoiled, by=UserFactory.create())

    assert states(spoiled) == ["FAILED"]


LATE = {
    "waits": working(),
    "asks": asking(),
    "has done it": Done(message="fine"),
    "failed": TaskFailedError("it broke"),
}


@pytest.mark.parametrize("late", LATE.values(), ids=list(LATE))
def test_what_a_step_finds_after_the_end_changes_nothing_any_more(
    puppets: Puppets,
    django_capture_on_commit_callbacks: Any,
    caplog: pytest.LogCaptureFixture,
    late: Outcome | TaskFailedError,
) -> None:
    """Its task was ended, because somebody canceled the execution, while the step was under way."""
    execution = start(pipeline_of("Main: a"))

    def act(_context: TaskContext) -> Outcome:
        end(execution)
        if isinstance(late, TaskFailedError):
            raise late
        return late

    puppets.acts["a"] = act
    with caplog.at_level("INFO"), django_capture_on_commit_callbacks(execute=True):
        work_task(taken(task_of(execution, "a")))

    assert_ended_once(execution, caplog.text)


def test_a_fault_after_the_end_changes_nothing_any_more(
    puppets: Puppets, django_capture_on_commit_callbacks: Any, caplog: pytest.LogCaptureFixture
) -> None:
    execution = start(pipeline_of("Main: a"))
    held = taken(task_of(execution, "a"))

    with caplog.at_level("INFO"), django_capture_on_commit_callbacks(execute=True):
        end(execution)
        fail_task(held, "Internal error.")

    assert_ended_once(execution, caplog.text)


def end(execution: Execution) -> None:
    spoil(execution)
    cancel_execution(execution=execution, by=UserFactory.create())


def assert_ended_once(execution: Execution, log: str) -> None:
    task = task_of(execution, "a")
    assert (task.status, task.wake_at, task.lease_owner) == (Status.FAILED, None, None)
    assert task.message.startswith(WORDS)
    assert not execution.events.filter(kind="progress").exists()
    assert log.count("has ended") == 1
