"""Plan, work, wake, cancel, pause and answer, interleaved at every SQL statement.

Each test plays one scene over and over, the second actor one statement later every time. Whatever
the order, nothing is lost, nothing is done twice, and nothing is stuck.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import count, pairwise

import pytest
from django.db import connection, transaction

from codestream.accounts.models import User
from codestream.core.clock import now
from codestream.core.errors import Refused
from codestream.core.work import Claim, LeaseLostError, claim, kind_named, wake
from executions.models import Execution, ExecutionEvent, TaskRun, Worker
from executions.services import (
    answer_task,
    cancel_execution,
    pause_execution,
    resume_execution,
)
from executions.states import TERMINAL, Status
from executions.worker import drain
from pipelines.models import Pipeline
from tests.factories import UserFactory
from tests.integration.counting import Counting, counted_pipeline, start
from tests.interleaving import Act, interleave
from tests.running import until

pytestmark = pytest.mark.usefixtures("parallel_database")
ME = uuid.uuid4()


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Where both actors begin; ``executions`` are all that take part."""

    first: Act
    second: Act
    executions: tuple[Execution, ...]


@pytest.fixture
def ada(parallel_database: None, counting: Counting) -> User:
    """Who asks for things, beside a worker that lives."""
    Worker.objects.create(pk=ME, host="here", pid=1, heartbeat_at=now())
    return UserFactory(username="ada")


def every_schedule(scene_of: Callable[[], Scene], counting: Counting) -> Iterator[Scene]:
    """Play a new scene for every statement of its first actor; what holds always is checked."""
    for before in count():
        scene = scene_of()
        reached = interleave(scene.first, scene.second, before=before)
        for execution in scene.executions:
            assert_places_are_used(execution.pipeline)
        drain()
        for execution in scene.executions:
            execution.refresh_from_db()
            assert_sound(execution, counting)
        yield scene
        if not reached:
            assert before > 3, "the first actor did next to nothing"
            return


def work(task: TaskRun) -> None:
    """Do what a worker does, for as long as the task wants attention."""
    with suppress(LeaseLostError):
        while taken := take(task):
            step(taken)


def take(task: TaskRun) -> Claim | None:
    kind = kind_named("task")
    assert kind is not None
    return claim(kind, task.pk, owner=ME, alive=lambda: Worker.objects.values("pk"))


def step(taken: Claim) -> None:
    kind = kind_named("task")
    assert kind is not None
    kind.step(taken)


def task_of(execution: Execution, name: str) -> TaskRun:
    return TaskRun.objects.select_related("stage_run__execution").get(
        stage_run__execution=execution, name=name
    )


def if_it_may(act: Act) -> Act:
    """The act of a person who may come too late."""

    def acting() -> None:
        with suppress(Refused):
            act()

    return acting


def assert_places_are_used(pipeline: Pipeline | None) -> None:
    """Never more than may run, and nobody waits while there is a place."""
    assert pipeline is not None
    active = pipeline.executions.active().count()
    assert active <= pipeline.concurrency
    assert active == pipeline.concurrency or not pipeline.executions.queued().exists()


def assert_sound(execution: Execution, counting: Counting) -> None:
    """Nobody holds it, it waits for a person or not at all, and its story has no gap."""
    tasks = list(TaskRun.objects.filter(stage_run__execution=execution))
    held = {(task.lease_owner, task.leased_at, task.lease_until) for task in tasks}
    assert held == {(None, None, None)}
    assert all(task.wake_at is None for task in tasks), "something is left to do"
    statuses = {task.status for task in tasks}
    if execution.is_over:
        assert statuses <= TERMINAL | {Status.NOT_STARTED}
    elif execution.status != Status.PAUSED:
        assert execution.status == Status.WAITING
        assert Status.WAITING in statuses
    assert_told(execution, tasks)
    for task in tasks:
        if task.status == Status.COMPLETED:
            assert counting.starts[str(task.pk)] >= 1


def assert_told(execution: Execution, tasks: list[TaskRun]) -> None:
    """Every change of a part begins where the one before it ended, up to how it stands now."""
    changes: dict[uuid.UUID | str, list[tuple[str, str]]] = defaultdict(list)
    for event in ExecutionEvent.objects.filter(execution=execution).exclude(to_status=""):
        part = event.task_run_id or (event.subject if event.kind == "stage" else execution.pk)
        changes[part].append((event.from_status, event.to_status))
    stands: dict[uuid.UUID | str, str] = {execution.pk: execution.status}
    stands |= {stage.name: stage.status for stage in execution.stages.all()}
    stands |= {task.pk: task.status for task in tasks}
    told = {part: pairs[-1][1] for part, pairs in changes.items()}
    assert told == {part: status for part, status in stands.items() if status != Status.NOT_STARTED}
    for pairs in changes.values():
        assert all(before[1] == after[0] for before, after in pairwise(pairs))


def assert_started_once(scene: Scene, counting: Counting) -> None:
    for execution in scene.executions:
        for task in TaskRun.objects.filter(stage_run__execution=execution):
            assert counting.starts[str(task.pk)] <= 1


def requests(execution: Execution) -> list[str]:
    rows = ExecutionEvent.objects.filter(execution=execution, kind="request")
    return [f"{event.subject}: {event.message}" for event in rows]


def test_work_and_a_wake(ada: User, counting: Counting) -> None:
    pipeline = counted_pipeline("look")

    def scene() -> Scene:
        execution = start(pipeline)
        task = task_of(execution, "look0")
        return Scene(
            first=lambda: work(task),
            second=lambda: wake(TaskRun, task.pk),
            executions=(execution,),
        )

    for scene_played in every_schedule(scene, counting):
        assert scene_played.executions[0].status == Status.COMPLETED
        assert_started_once(scene_played, counting)


def test_work_and_a_cancel(ada: User, counting: Counting) -> None:
    pipeline = counted_pipeline("look done")

    def scene() -> Scene:
        execution = start(pipeline)
        task = task_of(execution, "look0")
        cancel = if_it_may(lambda: cancel_execution(execution=execution, by=ada))
        return Scene(first=lambda: work(task), second=cancel, executions=(execution,))

    ends = set()
    for played in every_schedule(scene, counting):
        execution = played.executions[0]
        ends.add(task_of(execution, "look0").status)
        assert execution.status == Status.CANCELED
        assert task_of(execution, "done1").status == Status.CANCELED
        assert_started_once(played, counting)
    assert ends == {Status.CANCELED, Status.COMPLETED}


def test_work_and_a_second_worker_that_takes_over(ada: User, counting: Counting) -> None:
    pipeline = counted_pipeline("look", "done")

    def scene() -> Scene:
        execution = start(pipeline)
        task = task_of(execution, "look0")
        # For a drain no other worker lives.
        return Scene(first=lambda: work(task), second=drain, executions=(execution,))

    for played in every_schedule(scene, counting):
        assert played.executions[0].status == Status.COMPLETED
        task = task_of(played.executions[0], "done1")
        assert counting.starts[str(task.pk)] == 1


def test_a_step_whose_lease_was_lost_writes_nothing(ada: User, counting: Counting) -> None:
    lost: list[bool] = []
    pipeline = counted_pipeline("look")

    def scene() -> Scene:
        execution = start(pipeline)
        taken = take(task_of(execution, "look0"))
        assert taken is not None

        def finish() -> None:
            try:
                step(taken)
            except LeaseLostError:
                lost.append(True)
            else:
                lost.append(False)

        return Scene(first=finish, second=drain, executions=(execution,))

    for played in every_schedule(scene, counting):
        assert played.executions[0].status == Status.COMPLETED
    # Until the first has the locks, the second is faster.
    assert lost == sorted(lost, reverse=True)
    assert set(lost) == {True, False}


def test_work_and_a_pause(ada: User, counting: Counting) -> None:
    pipeline = counted_pipeline("look done done")

    def scene() -> Scene:
        execution = start(pipeline)
        task = task_of(execution, "look0")
        pause = if_it_may(lambda: pause_execution(execution=execution, by=ada))
        return Scene(first=lambda: work(task), second=pause, executions=(execution,))

    for played in every_schedule(scene, counting):
        execution = played.executions[0]
        assert execution.status == Status.PAUSED
        resume_execution(execution=execution, by=ada)
        drain()
        execution.refresh_from_db()
        assert execution.status == Status.COMPLETED
        assert_started_once(played, counting)


def test_work_and_a_resume(ada: User, counting: Counting) -> None:
    pipeline = counted_pipeline("done done")

    def scene() -> Scene:
        execution = start(pipeline)
        pause_execution(execution=execution, by=ada)
        task = task_of(execution, "done0")
        resume = if_it_may(lambda: resume_execution(execution=execution, by=ada))
        return Scene(first=lambda: work(task), second=resume, executions=(execution,))

    for played in every_schedule(scene, counting):
        assert played.executions[0].status == Status.COMPLETED
        assert_started_once(played, counting)


def waiting_for_an_answer(pipeline: Pipeline) -> tuple[Execution, TaskRun]:
    execution = start(pipeline)
    drain()
    return execution, task_of(execution, "ask0")


def test_work_and_an_answer(ada: User, counting: Counting) -> None:
    pipeline = counted_pipeline("ask")

    def scene() -> Scene:
        execution, task = waiting_for_an_answer(pipeline)
        wake(TaskRun, task.pk)
        answer = if_it_may(lambda: answer_task(task=task, answer="yes", by=ada))
        return Scene(first=lambda: work(task), second=answer, executions=(execution,))

    for played in every_schedule(scene, counting):
        execution = played.executions[0]
        assert execution.status == Status.COMPLETED
        assert task_of(execution, "ask0").message == "yes"
        assert_started_once(played, counting)


def test_a_question_and_an_answer_that_comes_too_early(ada: User, counting: Counting) -> None:
    pipeline = counted_pipeline("ask")

    def scene() -> Scene:
        execution = start(pipeline)
        task = task_of(execution, "ask0")
        answer = if_it_may(lambda: answer_task(task=task, answer="yes", by=ada))
        return Scene(first=lambda: work(task), second=answer, executions=(execution,))

    ends = set()
    for played in every_schedule(scene, counting):
        execution = played.executions[0]
        was_heard = bool(requests(execution))
        assert execution.status == (Status.COMPLETED if was_heard else Status.WAITING)
        ends.add(execution.status)
        if not execution.is_over:
            cancel_execution(execution=execution, by=ada)
            drain()
    assert Status.WAITING in ends


@pytest.mark.parametrize("cancels_first", [True, False], ids=["cancel", "answer"])
def test_an_answer_and_a_cancel(ada: User, counting: Counting, cancels_first: bool) -> None:
    pipeline = counted_pipeline("ask")

    def scene() -> Scene:
        execution, task = waiting_for_an_answer(pipeline)
        answer = if_it_may(lambda: answer_task(task=task, answer="yes", by=ada))
        cancel = if_it_may(lambda: cancel_execution(execution=execution, by=ada))
        first, second = (cancel, answer) if cancels_first else (answer, cancel)
        return Scene(first=first, second=second, executions=(execution,))

    for played in every_schedule(scene, counting):
        assert played.executions[0].status == Status.CANCELED
        assert "Cancel requested: " in requests(played.executions[0])


def test_a_cancel_and_another(ada: User, counting: Counting) -> None:
    pipeline = counted_pipeline("look done")

    def scene() -> Scene:
        execution = start(pipeline)
        cancel = if_it_may(lambda: cancel_execution(execution=execution, by=ada))
        return Scene(first=cancel, second=cancel, executions=(execution,))

    for played in every_schedule(scene, counting):
        assert played.executions[0].status == Status.CANCELED
        assert requests(played.executions[0]) == ["Cancel requested: "]
        task = task_of(played.executions[0], "look0")
        assert counting.cancels[str(task.pk)] == 1


def test_the_ends_of_two_tasks_start_the_next_stage_once(ada: User, counting: Counting) -> None:
    pipeline = counted_pipeline("done|done", "done")

    def scene() -> Scene:
        execution = start(pipeline)
        left, right = task_of(execution, "done0"), task_of(execution, "done1")
        return Scene(first=lambda: work(left), second=lambda: work(right), executions=(execution,))

    for played in every_schedule(scene, counting):
        execution = played.executions[0]
        assert execution.status == Status.COMPLETED
        begun = ExecutionEvent.objects.filter(execution=execution, to_status=Status.STARTED)
        assert begun.count() == 3
        assert_started_once(played, counting)


def test_the_end_of_one_execution_and_the_start_of_another(ada: User, counting: Counting) -> None:
    assert_taken_in_turn(counting, starts_first=False)


def test_the_start_of_an_execution_and_the_end_of_another(ada: User, counting: Counting) -> None:
    assert_taken_in_turn(counting, starts_first=True)


def assert_taken_in_turn(counting: Counting, *, starts_first: bool) -> None:
    """One runs and one waits; while the first ends, a third is started."""

    pipeline = counted_pipeline("done", concurrency=1)

    def scene() -> Scene:
        running, waiting = start(pipeline), start(pipeline)
        task = task_of(running, "done0")
        acts = [lambda: work(task), lambda: start(pipeline)]
        first, second = reversed(acts) if starts_first else acts
        return Scene(first=first, second=second, executions=(running, waiting))

    for played in every_schedule(scene, counting):
        index = played.executions[0].index
        runs = pipeline.executions.filter(index__gte=index)
        assert [run.status for run in runs] == [Status.COMPLETED] * 3
        begun = ExecutionEvent.objects.filter(execution__in=runs, to_status=Status.RUNNING)
        begun = begun.filter(kind="execution").order_by("id")
        assert [event.execution.index - index for event in begun] == [0, 1, 2]


def test_the_ends_of_two_executions_give_away_both_places(ada: User, counting: Counting) -> None:
    pipeline = counted_pipeline("done", concurrency=2)

    def scene() -> Scene:
        executions = tuple(start(pipeline) for _ in range(4))
        left, right = (task_of(each, "done0") for each in executions[:2])
        return Scene(first=lambda: work(left), second=lambda: work(right), executions=executions)

    for played in every_schedule(scene, counting):
        assert {execution.status for execution in played.executions} == {Status.COMPLETED}
        assert_started_once(played, counting)


def test_the_same_start_twice_is_one_execution(ada: User, counting: Counting) -> None:
    pipeline = counted_pipeline("done", concurrency=1)

    def scene() -> Scene:
        running, key = start(pipeline), str(uuid.uuid4())
        twice = [lambda: start(pipeline, key=key)] * 2
        return Scene(first=twice[0], second=twice[1], executions=(running,))

    for played in every_schedule(scene, counting):
        runs = pipeline.executions.filter(index__gte=played.executions[0].index)
        assert [run.status for run in runs] == [Status.COMPLETED] * 2


@pytest.mark.parametrize("parent_first", [True, False], ids=["look", "end"])
def test_the_end_of_a_rollback_and_the_look_at_it(
    ada: User, counting: Counting, parent_first: bool
) -> None:
    repair = counted_pipeline("done")
    pipeline = counted_pipeline("fail", rolled_back_by=repair)

    def scene() -> Scene:
        execution = start(pipeline)
        failed = task_of(execution, "fail0")
        for _ in ("fails", "starts the rollback"):
            taken = take(failed)
            assert taken is not None
            step(taken)
        rollback = Execution.objects.get(parent=execution)
        mending = task_of(rollback, "done0")
        wake(TaskRun, failed.pk)
        acts = [lambda: work(failed), lambda: work(mending)]
        first, second = acts if parent_first else reversed(acts)
        return Scene(first=first, second=second, executions=(execution, rollback))

    for played in every_schedule(scene, counting):
        statuses = [execution.status for execution in played.executions]
        assert statuses == [Status.ROLLBACK_COMPLETED, Status.COMPLETED]
        assert_started_once(played, counting)


@pytest.mark.skipif(connection.vendor != "postgresql", reason="no row is locked elsewhere")
def test_the_end_of_a_rollback_is_heard_by_a_task_that_somebody_holds(
    ada: User, counting: Counting
) -> None:
    repair = counted_pipeline("done")
    execution = start(counted_pipeline("fail", rolled_back_by=repair))
    failed = task_of(execution, "fail0")
    for _ in ("fails", "starts the rollback"):
        work(failed)
    rollback = Execution.objects.get(parent=execution)

    with ThreadPoolExecutor(1) as workers:
        with transaction.atomic():
            TaskRun.objects.select_for_update().get(pk=failed.pk)
            ended = workers.submit(work_and_close, task_of(rollback, "done0"))
            until(lambda: Execution.objects.get(pk=rollback.pk).is_over)
        ended.result()

    failed.refresh_from_db()
    assert failed.wake_at is not None
    assert failed.wake_at <= now()


def work_and_close(task: TaskRun) -> None:
    try:
        work(task)
    finally:
        connection.close()
