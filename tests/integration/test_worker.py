"""The worker loop: it finds what is due, survives faults and hands over what it held."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.db import NotSupportedError, OperationalError, connection, transaction
from django.db.models import F, Q

from codestream.core import work
from codestream.core.clock import now
from codestream.core.work import Claim, WorkKind
from codestream.operations.models import Chore
from executions import bulkhead, heart, worker
from executions.models import Worker
from executions.watches import Watches
from executions.worker import WorkerFaultError, WorkerLoop
from executions.workers import living_workers
from tests.running import until
from webhooks.models import RegistryEvent

pytestmark = pytest.mark.usefixtures("parallel_database")


@pytest.fixture
def kinds(monkeypatch: pytest.MonkeyPatch) -> dict[str, WorkKind]:
    registered: dict[str, WorkKind] = {}
    monkeypatch.setattr(work, "_kinds", registered)
    return registered


def event() -> RegistryEvent:
    return RegistryEvent.objects.create(registry="dockerhub", body=b"{}", wake_at=now())


def event_kind(step: Callable[[Claim], None], **more: Any) -> WorkKind:
    """Deliveries, with this step; no test that leaves ``fail`` as it is expects it to be called."""
    return WorkKind(
        **{"name": "event", "model": RegistryEvent, "step": step, "fail": print, **more}
    )


def noting(
    seen: list[uuid.UUID], *, once: Callable[[Claim], bool] = lambda _taken: True
) -> Callable[[Claim], None]:
    """A step that ends its row and says so in ``seen``, once something has come."""

    def step(taken: Claim) -> None:
        assert once(taken)
        with work.finishing(taken, wake_at=None):
            seen.append(taken.pk)

    return step


def run_until(loop: WorkerLoop, done: threading.Event) -> None:
    thread = threading.Thread(target=loop.run)
    thread.start()
    try:
        assert done.wait(20)
    finally:
        loop.stop()
        thread.join(20)


def join(*names: str) -> None:
    """Wait for the end of the threads that a worker has left behind."""
    for each in threading.enumerate():
        if each.name.startswith(names):
            each.join(20)


def test_work_that_is_due_is_done_and_the_worker_leaves_no_trace(
    kinds: dict[str, WorkKind],
) -> None:
    done = threading.Event()

    def step(taken: Claim) -> None:
        with work.finishing(taken, wake_at=None):
            RegistryEvent.objects.filter(pk=taken.pk).update(message="seen")
        done.set()

    kinds["event"] = event_kind(step)
    waiting = event()

    run_until(WorkerLoop(threads=2), done)

    waiting.refresh_from_db()
    assert (waiting.message, waiting.lease_owner, waiting.wake_at) == ("seen", None, None)
    assert not Worker.objects.exists()


def test_a_fault_of_ours_ends_the_piece_of_work_and_not_the_worker(
    kinds: dict[str, WorkKind],
) -> None:
    done = threading.Event()
    told: list[str] = []

    def step(taken: Claim) -> None:
        raise ZeroDivisionError

    def fail(taken: Claim, message: str) -> None:
        told.append(message)
        with work.finishing(taken, wake_at=None):
            pass
        if len(told) == 2:
            done.set()

    kinds["event"] = event_kind(step, fail=fail)
    event(), event()

    run_until(WorkerLoop(threads=1), done)

    assert told == ["Internal error (ZeroDivisionError). The log has the details."] * 2


def test_a_worker_that_is_asked_to_end_begins_no_step(
    kinds: dict[str, WorkKind], monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[Claim] = []
    loop = WorkerLoop(threads=1)

    def claim_late(*args: Any, **named: Any) -> Claim | None:
        taken = work.claim(*args, **named)
        loop.stop()
        return taken

    monkeypatch.setattr(worker, "claim", claim_late)
    kinds["event"] = event_kind(steps.append)
    waiting = event()

    thread = threading.Thread(target=loop.run)
    thread.start()
    thread.join(20)

    waiting.refresh_from_db()
    assert steps == []
    assert (waiting.epoch, waiting.lease_owner) == (1, None)
    assert waiting.wake_at is not None
    assert not Worker.objects.exists()


def test_a_thread_goes_on_with_what_is_due_without_another_sweep(
    kinds: dict[str, WorkKind],
) -> None:
    seen: list[uuid.UUID] = []
    loop = WorkerLoop(threads=1)

    kinds["event"] = event_kind(noting(seen))
    rows = [event() for _ in range(5)]

    assert loop.sweep() == 1
    until(lambda: len(seen) == 5)

    assert seen == [row.pk for row in rows]
    loop.stop()


def test_a_worker_that_is_busy_takes_no_more_hints_than_it_has_threads(
    kinds: dict[str, WorkKind],
) -> None:
    seen: list[uuid.UUID] = []
    free = threading.Event()
    loop = WorkerLoop(threads=1)

    kinds["event"] = event_kind(noting(seen, once=lambda _taken: free.wait(20)))
    at_work, noted, left = event(), event(), event()

    assert [loop.offer("event", row.pk) for row in (at_work, noted, left)] == [True, True, False]
    free.set()
    until(lambda: len(seen) == 2)

    assert seen == [at_work.pk, noted.pk]
    loop.stop()


class Heart:
    """Beats once, as every heart does before the work begins, and then as the test says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, then: Callable[[int], object]) -> None:
        self._beats = 0
        self._then = then
        monkeypatch.setattr(heart, "HEARTBEAT_SECONDS", 0.01)
        monkeypatch.setattr(heart.Heart, "beat", lambda _heart, claims: self.beat())

    def beat(self) -> bool:
        self._beats += 1
        if self._beats > 1:
            self._then(self._beats)
        return True


def test_the_heart_goes_on_whatever_fails(
    kinds: dict[str, WorkKind], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    beaten = threading.Event()

    def fail_twice(beats: int) -> None:
        if beats <= 3:
            raise ZeroDivisionError
        beaten.set()

    Heart(monkeypatch, fail_twice)

    run_until(WorkerLoop(threads=1), beaten)

    assert caplog.text.count("The heart failed") == 2


def test_a_worker_whose_heart_cannot_go_on_ends(
    kinds: dict[str, WorkKind], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_beats: int) -> None:
        raise ZeroDivisionError

    Heart(monkeypatch, fail)

    with pytest.raises(WorkerFaultError, match="heartbeat"):
        WorkerLoop(threads=1).run()


def test_a_worker_whose_heart_stands_still_ends(
    kinds: dict[str, WorkKind], monkeypatch: pytest.MonkeyPatch
) -> None:
    answered = threading.Event()
    Heart(monkeypatch, lambda _beats: answered.wait(60))
    monkeypatch.setattr(heart, "STUCK_SECONDS", 0.1)

    try:
        with pytest.raises(WorkerFaultError, match="heartbeat"):
            WorkerLoop(threads=1).run()
    finally:
        answered.set()
        join("heartbeat")


def test_a_machine_that_slept_has_no_heart_that_stands_still(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    beating = heart.Heart(uuid.uuid4(), 1)
    monkeypatch.setattr(time, "monotonic", lambda: 1e9)

    assert not beating.is_stuck()


def test_a_worker_whose_watches_have_ended_ends(
    kinds: dict[str, WorkKind], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Watches, "run", lambda self: None)

    with pytest.raises(WorkerFaultError, match="watches"):
        WorkerLoop(threads=1).run()


def test_a_row_that_cannot_be_claimed_is_left_alone_for_a_while(
    kinds: dict[str, WorkKind], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_arguments: Any, **_named: Any) -> Claim:
        raise ZeroDivisionError

    kinds["event"] = event_kind(print)
    waiting, loop = event(), WorkerLoop(threads=1)
    monkeypatch.setattr(worker, "claim", fail)

    loop.work_now("event", waiting.pk)

    waiting.refresh_from_db()
    assert waiting.wake_at is not None
    assert waiting.wake_at > now()
    assert loop.sweep() == 0
    assert not loop._busy
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize("answer", ["of a claim", "of a release"])
def test_a_row_that_was_held_when_the_database_failed_is_given_back_as_soon_as_it_answers(
    kinds: dict[str, WorkKind], monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    done, failed = threading.Event(), threading.Event()

    def claim(*arguments: Any, **named: Any) -> Claim | None:
        taken = work.claim(*arguments, **named)
        if answer == "of a claim":
            fail_once()
        return taken

    def step(taken: Claim) -> None:
        fail_once()
        with work.finishing(taken, wake_at=None):
            pass
        done.set()

    def fail_once() -> None:
        if not failed.is_set():
            failed.set()
            raise OperationalError("the answer is lost")

    def release(taken: Claim, **named: Any) -> None:
        raise OperationalError("the server is away")

    kinds["event"] = event_kind(step)
    event()
    monkeypatch.setattr(worker, "claim", claim)
    monkeypatch.setattr(worker, "release", release)

    # The lease would last for longer.
    run_until(WorkerLoop(threads=1), done)


def test_what_cannot_be_claimed_once_is_done_in_the_end(
    kinds: dict[str, WorkKind], monkeypatch: pytest.MonkeyPatch
) -> None:
    done, failed = threading.Event(), threading.Event()

    def fail_once(*arguments: Any, **named: Any) -> Claim | None:
        if not failed.is_set():
            failed.set()
            raise ZeroDivisionError
        return work.claim(*arguments, **named)

    def step(taken: Claim) -> None:
        with work.finishing(taken, wake_at=None):
            pass
        done.set()

    kinds["event"] = event_kind(step)
    event()
    monkeypatch.setattr(worker, "claim", fail_once)
    monkeypatch.setattr(worker, "PAUSE_AFTER_FAULT", timedelta())

    run_until(WorkerLoop(threads=1), done)

    assert failed.is_set()


def test_a_row_is_given_back_when_what_belongs_to_its_step_fails(
    kinds: dict[str, WorkKind], caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_row: object) -> dict[str, str]:
        raise ZeroDivisionError

    kinds["event"] = event_kind(print, about=fail)
    waiting, loop = event(), WorkerLoop(threads=1)

    loop.work_now("event", waiting.pk)

    waiting.refresh_from_db()
    assert waiting.wake_at is not None
    assert (waiting.epoch, waiting.lease_owner, waiting.wake_at > now()) == (1, None, True)
    assert not loop._busy
    assert "ZeroDivisionError" in caplog.text


def test_a_result_stays_when_the_next_of_the_line_cannot_be_found(
    kinds: dict[str, WorkKind], caplog: pytest.LogCaptureFixture
) -> None:
    def step(taken: Claim) -> None:
        with work.finishing(taken, wake_at=None):
            pass

    def fail(_taken: Claim) -> uuid.UUID | None:
        raise ZeroDivisionError

    kinds["event"] = event_kind(step, next_in_line=fail)
    waiting, loop = event(), WorkerLoop(threads=1)

    loop.work_now("event", waiting.pk)

    waiting.refresh_from_db()
    assert (waiting.lease_owner, waiting.wake_at) == (None, None)
    assert not loop._busy
    assert "ZeroDivisionError" in caplog.text


def test_a_row_that_is_still_the_first_of_its_line_is_no_surprise(
    kinds: dict[str, WorkKind],
) -> None:
    """Its step failed and is tried again in a moment: nothing behind it has its turn before."""

    def fail(_taken: Claim) -> None:
        raise OperationalError("no answer")

    kinds["event"] = event_kind(
        fail,
        next_in_line=lambda taken: taken.pk,
    )
    first, loop = event(), WorkerLoop(threads=1)

    loop.work_now("event", first.pk)

    first.refresh_from_db()
    assert (first.epoch, first.lease_owner) == (1, None)
    assert not loop._busy


def test_the_end_does_not_wait_for_a_database_that_does_not_answer(
    kinds: dict[str, WorkKind], monkeypatch: pytest.MonkeyPatch
) -> None:
    held, answered = threading.Event(), threading.Event()

    def hang(*_arguments: Any, **_named: Any) -> None:
        answered.wait(60)

    def step(_taken: Claim) -> None:
        held.set()
        answered.wait(60)

    kinds["event"] = event_kind(step)
    event()
    monkeypatch.setattr(worker, "release", hang)
    loop = WorkerLoop(threads=1)
    thread = threading.Thread(target=loop.run)
    thread.start()
    try:
        assert held.wait(20)
        loop.stop()
        thread.join(20)
        assert not thread.is_alive()
    finally:
        answered.set()
        join("hand-over", "work")


def test_a_line_that_is_too_long_for_one_turn_goes_on_after_the_others(
    kinds: dict[str, WorkKind], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[uuid.UUID] = []
    monkeypatch.setattr(worker, "LONGEST_LINE", 2)
    loop = WorkerLoop(threads=1)
    rows = [event() for _ in range(5)]
    line, other = [row.pk for row in rows[:4]], rows[4].pk
    offered = threading.Event()

    def next_in_line(taken: Claim) -> uuid.UUID | None:
        place = line.index(taken.pk) + 1 if taken.pk in line else len(line)
        return line[place] if place < len(line) else None

    step = noting(seen, once=lambda _taken: offered.wait(20))
    kinds["event"] = event_kind(step, next_in_line=next_in_line)

    assert loop.offer("event", line[0])
    assert loop.offer("event", other)
    offered.set()
    until(lambda: len(seen) == 5)

    assert seen == [line[0], line[1], other, line[2], line[3]]
    loop.stop()


def test_a_row_that_was_claimed_too_early_is_looked_at_again_when_its_turn_comes(
    kinds: dict[str, WorkKind], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would wait for the next sweep: who is done before it finds another thread at it."""
    first, behind = event(), event()
    seen: list[uuid.UUID] = []
    refused_too_early, first_is_done = threading.Event(), threading.Event()
    claim_now, loop = work.claim, WorkerLoop(threads=2)

    def claim(kind: WorkKind, pk: uuid.UUID, **how: Any) -> Claim | None:
        if pk == first.pk or refused_too_early.is_set():
            return claim_now(kind, pk, **how)
        refused_too_early.set()
        assert first_is_done.wait(20)
        return None

    kinds["event"] = event_kind(
        noting(seen, once=lambda taken: taken.pk == behind.pk or refused_too_early.wait(20)),
        next_in_line=lambda taken: behind.pk if taken.pk == first.pk else None,
        first_in_line=lambda pk: pk,
    )
    monkeypatch.setattr(worker, "claim", claim)

    assert loop.offer("event", behind.pk)
    assert loop.offer("event", first.pk)
    until(lambda: list(loop._busy) == [("event", behind.pk)] and seen)
    first_is_done.set()
    until(lambda: not loop._busy)

    assert seen == [first.pk, behind.pk]
    loop.stop()


def test_a_hint_for_a_row_whose_turn_it_is_not_is_one_for_the_first_of_its_line(
    kinds: dict[str, WorkKind],
) -> None:
    first, told = event(), event()
    seen: list[uuid.UUID] = []

    kinds["event"] = event_kind(
        noting(seen),
        turn=lambda: Q(pk=first.pk),
        first_in_line=lambda _pk: first.pk,
    )
    loop = WorkerLoop(threads=1)

    loop.work_now("event", told.pk)
    loop.work_now("event", told.pk)

    assert seen == [first.pk]
    assert not loop._busy


def test_a_sweep_forgets_no_hint_that_was_taken(kinds: dict[str, WorkKind]) -> None:
    """It may have asked before the row was committed that the hint tells of."""
    kinds["event"] = event_kind(print)
    loop, told = WorkerLoop(threads=1), uuid.uuid4()
    loop._busy = {("event", uuid.uuid4()): None}
    assert loop.offer("event", told)
    seen: list[uuid.UUID] = []
    loop._work_on = lambda key: seen.append(key[1])  # type: ignore[method-assign]

    loop._busy.clear()
    loop.sweep()
    until(lambda: seen)

    assert seen == [told]


def test_no_kind_of_work_takes_every_thread(kinds: dict[str, WorkKind]) -> None:
    """All clusters may hang: deliveries are judged nevertheless."""
    hang, judged = threading.Event(), threading.Event()
    loop = WorkerLoop(threads=4)

    def wait(_taken: Claim) -> None:
        assert hang.wait(20)

    def judge(taken: Claim) -> None:
        with work.finishing(taken, wake_at=None):
            judged.set()

    kinds["slow"] = WorkKind(name="slow", model=Chore, step=wait, fail=print)
    kinds["event"] = event_kind(judge)
    long_ago = now() - timedelta(hours=1)
    for number in range(6):
        Chore.objects.create(name=f"slow {number}", wake_at=long_ago)
    event()

    assert loop.sweep() == 4
    assert judged.wait(20)
    assert sum(name == "slow" for name, _pk in loop._busy) == 3

    hang.set()
    loop.stop()
    until(lambda: not loop._busy)


def test_a_target_that_hangs_leaves_threads_to_the_others(
    kinds: dict[str, WorkKind], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What may not pass is tried again a moment later."""
    monkeypatch.setattr(bulkhead, "SLOW_SECONDS", 0.0)
    hang, answered = threading.Event(), threading.Event()
    loop = WorkerLoop(threads=4)

    def speak(taken: Claim) -> None:
        if taken.row.name == "hangs":
            assert hang.wait(20)
            return
        with work.finishing(taken, wake_at=None):
            answered.set()

    kinds["chore"] = WorkKind(
        name="chore",
        model=Chore,
        step=speak,
        fail=print,
        target=lambda row: row.name.partition(" ")[0],
    )
    first, then, another = (
        Chore.objects.create(name=name, wake_at=now()) for name in ("hangs", "hangs too", "answers")
    )

    assert loop.offer("chore", first.pk)
    until(lambda: loop._busy.get(("chore", first.pk)))
    loop.work_now("chore", then.pk)
    loop.work_now("chore", another.pk)

    assert answered.is_set()
    then.refresh_from_db()
    assert then.lease_owner is None
    assert then.wake_at is not None
    assert then.wake_at > now()

    hang.set()
    loop.stop()
    until(lambda: not loop._busy)


def test_who_is_woken_while_a_target_has_no_room_asks_again_at_once(
    kinds: dict[str, WorkKind], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person cancels just then, say."""
    waiting, loop = event(), WorkerLoop(threads=1)
    kinds["event"] = event_kind(noting([]), target=lambda _row: "hangs")

    @contextmanager
    def no_room(_target: str) -> Iterator[bool]:
        work.wake(RegistryEvent, waiting.pk)
        yield False

    monkeypatch.setattr(loop._bulkhead, "passage", no_room)
    monkeypatch.setattr(loop._bulkhead, "pause", lambda _target: 30.0)
    loop.work_now("event", waiting.pk)

    waiting.refresh_from_db()
    assert waiting.lease_owner is None
    assert waiting.wake_at is not None
    assert waiting.wake_at <= now()


def test_who_was_taken_over_while_a_target_has_no_room_is_left_alone(
    kinds: dict[str, WorkKind], monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting, loop = event(), WorkerLoop(threads=1)
    seen: list[uuid.UUID] = []
    kinds["event"] = event_kind(lambda taken: seen.append(taken.pk), target=lambda _row: "hangs")

    @contextmanager
    def taken_over(_target: str) -> Iterator[bool]:
        RegistryEvent.objects.filter(pk=waiting.pk).update(epoch=F("epoch") + 1)
        yield False

    monkeypatch.setattr(loop._bulkhead, "passage", taken_over)
    loop.work_now("event", waiting.pk)

    assert seen == []
    assert RegistryEvent.objects.get(pk=waiting.pk).lease_owner == loop.id


def test_a_statement_that_has_to_be_planned_anew_is_tried_again(
    kinds: dict[str, WorkKind],
) -> None:
    """PostgreSQL says so after a column has got another type."""
    done = threading.Event()
    tries: list[uuid.UUID] = []

    def step(taken: Claim) -> None:
        tries.append(taken.pk)
        if len(tries) == 1:
            raise NotSupportedError("cached plan must not change result type")
        with work.finishing(taken, wake_at=None):
            done.set()

    kinds["event"] = event_kind(step)
    waiting = event()

    run_until(WorkerLoop(threads=1), done)

    assert tries == [waiting.pk] * 2


def test_only_workers_whose_heart_beats_are_alive() -> None:
    beating, silent = uuid.uuid4(), uuid.uuid4()
    Worker.objects.create(id=beating, host="a", pid=1, heartbeat_at=now())
    Worker.objects.create(id=silent, host="b", pid=2, heartbeat_at=now() - timedelta(seconds=4))

    assert [row["pk"] for row in living_workers()] == [beating]


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite locks no rows")
def test_the_heart_does_not_wait_for_a_row_that_a_step_has_locked(
    kinds: dict[str, WorkKind],
) -> None:
    kinds["event"] = event_kind(print)
    me, waiting = uuid.uuid4(), event()
    taken = work.claim(kinds["event"], waiting.pk, owner=me, alive=living_workers)
    RegistryEvent.objects.update(lease_until=now() + timedelta(seconds=5))
    locked, beaten = threading.Event(), threading.Event()

    def write() -> None:
        with transaction.atomic():
            RegistryEvent.objects.select_for_update().get()
            locked.set()
            beaten.wait(20)
        connection.close()

    step = threading.Thread(target=write)
    step.start()
    try:
        assert locked.wait(20)
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout TO '2s'")
        assert heart.Heart(me, 1).beat([taken])
    finally:
        beaten.set()
        step.join(20)
        connection.close()
