"""Fifty people start one pipeline at once: never more run than may, first in, first out."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from django.db import connection

from codestream.core.clock import now
from codestream.core.work import wake
from codestream.operations import places
from codestream.operations.places import FREE_PLACES
from executions import runners
from executions.engine import admit
from executions.models import ExecutionEvent, TaskRun
from executions.runners.base import Outcome, TaskContext
from executions.services import cancel_execution
from executions.states import Status
from executions.tasks import fail_task, work_task
from executions.worker import WorkerLoop, drain
from pipelines.models import Pipeline
from tests.factories import UserFactory
from tests.integration.claims import taken
from tests.integration.counting import KIND, Counting, counted_pipeline, start
from tests.integration.puppets import Puppets, pipeline_of, task_of, working
from tests.integration.puppets import start as puppets_start
from tests.running import until

pytestmark = pytest.mark.usefixtures("parallel_database", "counting")
STARTERS = 50
LAST = "last"


class Watching(Counting):
    """Knows which executions run, from the first step of theirs to the end of the last."""

    def __init__(self) -> None:
        super().__init__()
        self._running: set[str] = set()
        self.most = 0

    def start(self, context: TaskContext) -> Outcome:
        with self._lock:
            self._running.add(context.execution_id)
            self.most = max(self.most, len(self._running))
        outcome = super().start(context)
        if context.input["word"] == LAST:
            with self._lock:
                self._running.remove(context.execution_id)
        return outcome


@pytest.fixture
def watching(monkeypatch: pytest.MonkeyPatch, counting: Counting) -> Watching:
    runner = Watching()
    monkeypatch.setattr(runners, "_runners", {KIND: runner})
    return runner


@contextmanager
def at_work() -> Iterator[None]:
    """A worker with several threads."""
    loop = WorkerLoop(threads=4)
    thread = threading.Thread(target=loop.run)
    thread.start()
    try:
        yield
    finally:
        loop.stop()
        thread.join(20)


def start_at_once(pipeline: Pipeline) -> None:
    """Start it fifty times, each in a thread of its own, all at the same moment."""
    ready = threading.Barrier(STARTERS)

    def start_one(_number: int) -> None:
        ready.wait()
        try:
            start(pipeline)
        finally:
            connection.close()

    with ThreadPoolExecutor(STARTERS) as starters:
        list(starters.map(start_one, range(STARTERS)))


def test_a_line_of_executions_that_skip_everything_is_let_in_a_few_at_a_time(
    puppets: Puppets,
) -> None:
    unwanted = dict.fromkeys("ab", '${input.wanted} == "yes"')
    pipeline = pipeline_of(
        "Main: a, b", concurrency=1, conditions=unwanted, inputs={"wanted": "no"}
    )
    puppets.acts["a"] = working()
    first = puppets_start(pipeline, wanted="yes")
    for _ in range(25):
        puppets_start(pipeline)

    cancel_execution(execution=first, by=UserFactory.create())
    work_task(taken(task_of(first, "a")))
    left = [pipeline.executions.queued().count()]
    while due := TaskRun.objects.filter(wake_at__isnull=False):
        work_task(taken(due.get()))
        left.append(pipeline.executions.queued().count())

    assert left == [15, 5, 0]
    runs = pipeline.executions.exclude(pk=first.pk)
    assert set(runs.values_list("status", flat=True)) == {Status.COMPLETED}


def test_a_fault_while_the_line_is_let_in_ends_none_of_its_tasks(puppets: Puppets) -> None:
    pipeline = pipeline_of("Main: a", concurrency=1)
    puppets.acts["a"] = working()
    puppets_start(pipeline)
    queued = puppets_start(pipeline)
    wake(TaskRun, task_of(queued, "a").pk)

    fail_task(taken(task_of(queued, "a")), "Internal error")

    task = task_of(queued, "a")
    assert (task.status, task.lease_owner) == (Status.NOT_STARTED, None)
    assert task.wake_at is not None
    assert task.wake_at > now()


def test_a_fault_while_the_line_is_let_in_puts_nobody_off_who_has_begun_meanwhile(
    puppets: Puppets,
) -> None:
    pipeline = pipeline_of("Main: a", concurrency=1)
    puppets.acts["a"] = working()
    first, queued = puppets_start(pipeline), puppets_start(pipeline)
    wake(TaskRun, task_of(queued, "a").pk)
    held = taken(task_of(queued, "a"))

    cancel_execution(execution=first, by=UserFactory.create())
    work_task(taken(task_of(first, "a")))
    fail_task(held, "Internal error")

    task = task_of(queued, "a")
    assert task.status == Status.STARTED
    assert task.wake_at is not None
    assert task.wake_at <= now()


def test_who_waits_although_there_is_a_place_is_found_by_a_chore(puppets: Puppets) -> None:
    pipeline = pipeline_of("Main: a", concurrency=1)
    puppets.acts["a"] = working()
    puppets_start(pipeline)
    queued = puppets_start(pipeline)
    Pipeline.objects.filter(pk=pipeline.pk).update(concurrency=2)

    outcome = FREE_PLACES.run(lambda: False)
    drain()

    assert outcome.message == "1 of 1 pipelines with a queue looked at."
    assert task_of(queued, "a").status == Status.RUNNING


def test_one_look_lets_all_in_who_have_a_place(puppets: Puppets) -> None:
    puppets.acts["a"] = working()
    pipeline = pipeline_of("Main: a", concurrency=1)
    runs = [puppets_start(pipeline) for _ in range(25)]
    Pipeline.objects.filter(pk=pipeline.pk).update(concurrency=25)

    FREE_PLACES.run(lambda: False)

    assert {task_of(run, "a").status for run in runs[1:]} == {Status.STARTED}


def test_a_fault_in_one_pipeline_keeps_no_other_from_its_free_places(
    puppets: Puppets, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    puppets.acts["a"] = working()
    healthy, broken = pipeline_of("Main: a", concurrency=1), pipeline_of("Main: a", concurrency=1)
    queued = [[puppets_start(each) for _ in range(2)][1] for each in (healthy, broken)]
    Pipeline.objects.update(concurrency=2)

    def faulty(pipeline: Pipeline) -> bool:
        if pipeline == broken:
            raise ZeroDivisionError
        return admit(pipeline)

    monkeypatch.setattr(places, "admit", faulty)
    monkeypatch.setattr(random, "shuffle", lambda keys: keys.sort(key=broken.pk.__ne__))
    outcome = FREE_PLACES.run(lambda: False)

    assert outcome.message == (
        "2 of 2 pipelines with a queue looked at. 1 of them with a fault: see the log."
    )
    states = [task_of(each, "a").status for each in queued]
    assert states == [Status.STARTED, Status.NOT_STARTED]
    assert f"Pipeline {broken.pk}: nobody of its queue can be let in." in caplog.text


@pytest.mark.timeout(300)
@pytest.mark.parametrize("limit", [1, 3])
def test_fifty_starters_never_exceed_the_limit(watching: Watching, limit: int) -> None:
    pipeline = counted_pipeline(f"done {LAST}", concurrency=limit)
    seen: list[int] = []

    def all_over() -> bool:
        seen.append(pipeline.executions.active().count())
        return not pipeline.executions.live().exists()

    with at_work():
        start_at_once(pipeline)
        until(all_over, seconds=240)

    assert watching.most <= limit
    assert max(seen) <= limit
    assert set(watching.starts.values()) == {1}
    runs = pipeline.executions.order_by("index").values_list("index", "status")
    assert list(runs) == [(number, Status.COMPLETED) for number in range(1, STARTERS + 1)]
    begun = ExecutionEvent.objects.filter(kind="execution", to_status=Status.RUNNING)
    order = begun.order_by("id").values_list("execution__index", flat=True)
    assert list(order) == list(range(1, STARTERS + 1))
