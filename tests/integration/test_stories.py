"""The story of an execution: a row for every change of state, in the same transaction."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from executions.models import Execution, ExecutionEvent, StageRun, TaskRun
from executions.run import ConcurrentChangeError, ImpossibleChangeError, locked
from executions.runners.base import Done, TaskFailedError
from executions.services import (
    answer_task,
    cancel_execution,
    pause_execution,
    resume_execution,
)
from executions.states import Status
from executions.worker import drain
from tests.factories import ProjectFactory, UserFactory
from tests.integration.puppets import (
    Puppets,
    asking,
    gaps,
    pipeline_of,
    start,
    statuses,
    story,
    task_of,
    working,
)

pytestmark = pytest.mark.django_db


def test_every_row_of_a_busy_day_is_told_without_a_gap(puppets: Puppets) -> None:
    project, eve = ProjectFactory.create(), UserFactory.create(username="eve")
    pipeline_of("Undo: u", name="undo", project=project)
    pipeline = pipeline_of(
        "First: ask work, broken?, never unreadable?",
        "Second: last",
        project=project,
        concurrency=2,
        conditions={"never": '"a" == "b"', "unreadable": '${var.gone} == "x"'},
        rollbacks=[{"name": "undo", "stage": "Second"}],
    )
    puppets.acts |= {"ask": asking(), "work": working(), "broken": TaskFailedError("broken")}
    puppets.acts["last"] = TaskFailedError("it broke")
    first, second, third, fourth = (start(pipeline) for _ in range(4))

    pause_execution(execution=first, by=eve)
    pause_execution(execution=third, by=eve)
    cancel_execution(execution=second, by=eve)
    cancel_execution(execution=fourth, by=eve)
    drain()
    puppets.acts["ask"] = Done(message="fine")
    answer_task(task=task_of(first, "ask"), answer="yes", by=eve)
    puppets.tell(first, "work", Done(message="fine"))
    for paused in (first, third):
        resume_execution(execution=paused, by=eve)
        drain()

    assert [statuses(each)[""] for each in (first, second, third, fourth)] == [
        "ROLLBACK_COMPLETED",
        "CANCELED",
        "ROLLBACK_COMPLETED",
        "CANCELED",
    ]
    assert statuses(first) == {
        "": "ROLLBACK_COMPLETED",
        "ask": "COMPLETED",
        "work": "COMPLETED",
        "broken": "FAILED_CONTINUE",
        "never": "SKIPPED",
        "unreadable": "FAILED_CONTINUE",
        "last": "ROLLBACK_COMPLETED",
    }
    assert gaps() == []


@pytest.mark.parametrize("model", [Execution, StageRun, TaskRun])
def test_a_change_that_nobody_told_of_is_a_gap(
    puppets: Puppets, model: type[Execution | StageRun | TaskRun]
) -> None:
    puppets.acts["a"] = working()
    start(pipeline_of("Main: a"))

    model._default_manager.update(status=Status.WAITING)

    (gap,) = gaps()
    assert gap.endswith("the story ends with RUNNING, the row is WAITING")


def test_a_line_that_is_missing_is_a_gap(puppets: Puppets) -> None:
    start(pipeline_of("Main: a"))

    ExecutionEvent.objects.get(subject="Main.a", to_status="STARTED").delete()

    assert gaps() == ["a: NOT_STARTED, then STARTED to COMPLETED"]


def test_an_unreadable_condition_is_told_with_its_reason(puppets: Puppets) -> None:
    execution = start(pipeline_of("Main: a, b", conditions={"a": '${var.gone} == "x"'}))

    assert story(execution) == [
        ("scripted #1", "", "QUEUED"),
        ("scripted #1", "QUEUED", "RUNNING"),
        ("Main", "NOT_STARTED", "RUNNING"),
        ("Main.a", "NOT_STARTED", "FAILED"),
        ("Main", "RUNNING", "FAILED"),
        ("scripted #1", "RUNNING", "FAILED"),
    ]
    told = execution.events.get(subject="Main.a")
    assert told.message.startswith("Precondition: ")
    assert "gone" in told.message


def test_with_an_unreadable_condition_no_task_beside_it_begins(puppets: Puppets) -> None:
    execution = start(pipeline_of("Main: b a, c", conditions={"a": '${var.gone} == "x"'}))

    assert statuses(execution) == {
        "": "FAILED",
        "a": "FAILED",
        "b": "NOT_STARTED",
        "c": "NOT_STARTED",
    }


def test_an_ignored_failure_is_told_with_its_reason(puppets: Puppets) -> None:
    puppets.acts["a"] = TaskFailedError("it broke")
    execution = start(pipeline_of("Main: a?"))

    assert story(execution)[3:] == [
        ("Main.a", "NOT_STARTED", "STARTED"),
        ("Main.a", "STARTED", "FAILED_CONTINUE"),
        ("Main", "RUNNING", "COMPLETED"),
        ("scripted #1", "RUNNING", "COMPLETED"),
    ]
    assert execution.events.get(to_status="FAILED_CONTINUE").message == "it broke"


def test_a_change_that_is_taken_back_takes_its_line_with_it(puppets: Puppets) -> None:
    puppets.acts["a"] = working()
    execution = start(pipeline_of("Main: a"))
    before = story(execution)

    with transaction.atomic():
        cancel_execution(execution=execution, by=UserFactory())
        transaction.set_rollback(True)

    assert statuses(execution) == {"": "RUNNING", "a": "RUNNING"}
    assert story(execution) == before


def test_a_row_that_somebody_changed_without_the_lock_is_not_overwritten(
    puppets: Puppets,
) -> None:
    puppets.acts["a"] = working()
    execution = start(pipeline_of("Main: a"))
    before = story(execution)

    def change_at_the_same_time() -> None:
        with locked(execution) as run:
            TaskRun.objects.update(status=Status.COMPLETED)
            run.change(run.tasks[0], Status.WAITING)

    with pytest.raises(ConcurrentChangeError):
        change_at_the_same_time()
    assert statuses(execution)["a"] == "RUNNING"
    assert story(execution) == before


def test_a_change_that_no_state_leads_to_is_a_fault(puppets: Puppets) -> None:
    execution = start(pipeline_of("Main: a"))

    with (
        pytest.raises(ImpossibleChangeError, match="cannot become RUNNING"),
        locked(execution) as run,
    ):
        run.change(run.tasks[0], Status.RUNNING)
    assert statuses(execution) == {"": "COMPLETED", "a": "COMPLETED"}


def test_every_transaction_that_changes_a_state_tells_of_it(puppets: Puppets) -> None:
    puppets.acts["a"] = TaskFailedError("it broke")
    with CaptureQueriesContext(connection) as asked:
        execution = start(pipeline_of("Main: a?, b"))

    changing = [commit for commit in commits(asked) if any(map(changes_a_state, commit))]
    assert len(changing) == 2, "the end of each task; the start creates its rows"
    for commit in changing:
        assert any(sql.startswith('INSERT INTO "executions_executionevent"') for sql in commit)
    assert statuses(execution)[""] == "COMPLETED"


def commits(asked: CaptureQueriesContext) -> Iterator[list[str]]:
    """The statements of each transaction; a test's own is around them all."""
    statements: list[str] = []
    depth = 0
    for sql in (query["sql"] for query in asked.captured_queries):
        depth += sql.startswith("SAVEPOINT") - sql.startswith("RELEASE SAVEPOINT")
        statements.append(sql)
        if depth == 0:
            yield statements
            statements = []


def changes_a_state(sql: str) -> bool:
    changed, _, _ = sql.partition(" WHERE ")
    return changed.startswith('UPDATE "executions_') and '"status" = ' in changed
