"""The database's clock jumps an hour: nothing sleeps on, no lease stays, no result comes twice."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.db.models.functions import Now
from django.utils import timezone

from codestream.core import clock as clocks
from codestream.core import prepared, work
from codestream.core.clock import now
from codestream.core.work import Claim, LeaseLostError, claim, due, kind_named, wake
from codestream.operations.models import Chore
from executions import heart as hearts
from executions.heart import Heart
from executions.models import Execution, ExecutionEvent, TaskRun, Worker
from executions.states import Status
from executions.worker import WorkerLoop
from executions.workers import living_workers
from tests.integration.counting import Counting, counted_pipeline, start
from tests.running import until

pytestmark = pytest.mark.usefixtures("parallel_database")
HOUR = timedelta(hours=1)
CHORE = kind_named("chore")
JUMPS = pytest.mark.parametrize("jump", [HOUR, -HOUR], ids=["forward", "back"])


class Clock:
    """The database's clock, and where that is this machine's, this machine's."""

    def __init__(self) -> None:
        self.ahead = timedelta()
        self._now = timezone.now

    def now(self) -> datetime:
        return self._now() + self.ahead

    def database_now(self) -> Any:
        return Now() + self.ahead


class Forgetful(dict[Any, Any]):
    """Keeps nothing: what is ahead of the server's clock is composed into the questions."""

    def __setitem__(self, key: Any, value: Any) -> None:
        pass


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    if connection.vendor == "sqlite":
        monkeypatch.setattr(timezone, "now", made.now)
    monkeypatch.setattr(clocks, "Now", made.database_now)
    monkeypatch.setattr(clocks, "moment", clocks.moment.__wrapped__)
    monkeypatch.setattr(prepared, "composed_by_question", Forgetful())
    return made


@pytest.fixture
def heart(counting: Counting) -> Heart:
    """The heart of a worker that has just begun."""
    made = Heart(uuid.uuid4(), 1)
    assert made.beat([])
    return made


@pytest.fixture
def with_chores(parallel_database: None, heart: Heart, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers do chores as well."""
    monkeypatch.setitem(work._kinds, "chore", CHORE)


def waiting_task() -> TaskRun:
    return TaskRun.objects.get(stage_run__execution=start(counted_pipeline("look")))


def take(task: TaskRun, owner: uuid.UUID) -> Claim | None:
    kind = kind_named("task")
    assert kind is not None
    return claim(kind, task.pk, owner=owner, alive=living_workers)


def is_due(task: TaskRun) -> bool:
    kind = kind_named("task")
    assert kind is not None
    return task.pk in [pk for _, pk in due(kind, alive=living_workers, limit=9)]


@JUMPS
def test_what_sleeps_wakes_up_in_time(clock: Clock, heart: Heart, jump: timedelta) -> None:
    task = waiting_task()
    wake(TaskRun, task.pk, at=now() + timedelta(seconds=20))
    assert not is_due(task)

    clock.ahead = jump
    heart.beat([])

    assert is_due(task)


def test_what_sleeps_is_left_alone_while_the_clock_goes_on(clock: Clock, heart: Heart) -> None:
    task = waiting_task()
    wake(TaskRun, task.pk, at=now() + timedelta(hours=2))

    clock.ahead = HOUR
    heart.beat([])
    heart.beat([])

    assert not is_due(task)


def test_a_clock_that_was_set_back_while_nobody_worked_is_found_out(
    clock: Clock, heart: Heart
) -> None:
    task = waiting_task()
    wake(TaskRun, task.pk, at=now() + timedelta(seconds=20))

    clock.ahead = -HOUR
    Heart(uuid.uuid4(), 1).beat([])

    assert is_due(task)


@pytest.mark.usefixtures("with_chores")
def test_a_clock_that_was_set_back_after_all_workers_ended_in_order_is_found_out(
    clock: Clock, heart: Heart
) -> None:
    """What is done every minute, whoever does it, tells of the time before."""
    task = waiting_task()
    wake(TaskRun, task.pk, at=now() + timedelta(seconds=20))
    Chore.objects.update_or_create(name="free places", defaults={"last_run_at": now()})
    Worker.objects.all().delete()

    clock.ahead = -HOUR
    Heart(uuid.uuid4(), 1).beat([])

    assert is_due(task)


@pytest.mark.usefixtures("with_chores")
def test_a_start_after_an_hour_without_workers_wakes_nobody(clock: Clock, heart: Heart) -> None:
    task = waiting_task()
    wake(TaskRun, task.pk, at=now() + timedelta(hours=2))
    Chore.objects.update_or_create(name="free places", defaults={"last_run_at": now()})
    Worker.objects.all().delete()

    clock.ahead = HOUR
    Heart(uuid.uuid4(), 1).beat([])

    assert not is_due(task)


def test_the_wake_is_tried_again_when_the_database_failed(clock: Clock, heart: Heart) -> None:
    task = waiting_task()
    wake(TaskRun, task.pk, at=now() + timedelta(seconds=20))
    clock.ahead = -HOUR

    def fail_for_tasks(execute: Any, sql: str, *rest: Any) -> Any:
        if "executions_taskrun" in sql:
            raise OperationalError("no answer")
        return execute(sql, *rest)

    with connection.execute_wrapper(fail_for_tasks):
        assert not heart.beat([])
    heart.beat([])

    assert is_due(task)


@JUMPS
def test_a_worker_that_lives_keeps_what_it_holds(
    clock: Clock, heart: Heart, jump: timedelta
) -> None:
    task = waiting_task()
    taken = take(task, heart._worker)

    clock.ahead = jump
    heart.beat([taken])

    assert not is_due(task)
    assert take(task, uuid.uuid4()) is None


@JUMPS
def test_what_is_held_is_not_stuck_and_is_written_once(
    clock: Clock, heart: Heart, jump: timedelta
) -> None:
    task, kind = waiting_task(), kind_named("task")
    assert kind is not None
    before = take(task, heart._worker)
    assert before is not None

    clock.ahead = jump
    other = uuid.uuid4()
    Heart(other, 1).beat([])
    after = take(task, other)
    assert after is not None
    kind.step(after)
    with pytest.raises(LeaseLostError):
        kind.step(before)

    task.refresh_from_db()
    assert (task.status, task.lease_until) == (Status.COMPLETED, None)
    events = ExecutionEvent.objects.filter(task_run=task, to_status=Status.COMPLETED)
    assert events.count() == 1


def test_a_worker_tells_how_far_the_clock_of_its_machine_is_from_the_database_s(
    clock: Clock, heart: Heart, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hearts, "now", lambda: now() + HOUR)

    heart.beat([])

    assert round(Worker.objects.get().clock_ahead) == HOUR.total_seconds()


def test_a_forgotten_worker_still_tells_how_far_its_clock_is_off(
    clock: Clock, heart: Heart, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hearts, "now", lambda: now() + HOUR)
    heart.beat([])
    Worker.objects.all().delete()

    heart.beat([])

    assert round(Worker.objects.get().clock_ahead) == HOUR.total_seconds()


@pytest.mark.parametrize(
    ("before", "after", "ahead"),
    [(-3, 1, 0), (-5, -3, -3), (3, 9, 3), (0, 0, 0)],
    ids=["a lock was waited for", "behind", "ahead", "together"],
)
def test_what_the_database_takes_is_no_drift(before: int, after: int, ahead: int) -> None:
    moment, around = now(), [timedelta(seconds=each) for each in (before, after)]

    assert hearts._outside(moment, moment + around[0], moment + around[1]) == ahead


def test_a_worker_that_was_forgotten_comes_back(clock: Clock, heart: Heart) -> None:
    forget = delete_after_update(heart._worker)

    with connection.execute_wrapper(forget):
        heart.beat([])
    assert not living_workers().exists()
    heart.beat([])

    assert living_workers().exists()


def delete_after_update(worker: uuid.UUID) -> Any:
    """Forget the worker as soon as its heartbeat was written, as a new one does after a jump."""

    def wrapper(execute: Any, sql: str, *rest: Any) -> Any:
        result = execute(sql, *rest)
        if sql.startswith("UPDATE"):
            Worker.objects.filter(pk=worker).delete()
        return result

    return wrapper


@pytest.fixture
def at_work(parallel_database: None, counting: Counting) -> Iterator[None]:
    loop = WorkerLoop(threads=2)
    thread = threading.Thread(target=loop.run)
    thread.start()
    yield
    loop.stop()
    thread.join(20)


def test_a_worker_goes_on_while_the_clock_jumps(
    at_work: None, clock: Clock, counting: Counting
) -> None:
    pipeline = counted_pipeline("look done", concurrency=2)
    jumps = (HOUR, -HOUR, timedelta())
    for jump in jumps:
        for _ in range(4):
            start(pipeline)
        clock.ahead = jump
        until(lambda: not Execution.objects.live().exists())

    assert set(Execution.objects.values_list("status", flat=True)) == {Status.COMPLETED}
    ends = ExecutionEvent.objects.filter(kind="task", to_status=Status.COMPLETED)
    assert ends.count() == len(jumps) * 4 * 2
