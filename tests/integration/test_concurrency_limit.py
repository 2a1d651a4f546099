"""Fifty people start one pipeline at once: never more run than may, first in, first out."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from django.db import connection

from executions import runners
from executions.models import ExecutionEvent
from executions.runners.base import Outcome, TaskContext
from executions.states import Status
from executions.worker import WorkerLoop
from pipelines.models import Pipeline
from tests.integration.counting import KIND, Counting, counted_pipeline, start
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
