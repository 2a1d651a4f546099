"""The worker: claims rows that want attention and lets the registered steps do them.

It hears of them by hints (``codestream.core.hints``) and by sweeps of its own, and keeps nothing
that matters: kill it at any time, and another one takes its rows over as soon as its ``heart`` has
not beaten for a few seconds. What is to be woken by changes in clusters is left to ``watches``.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime, timedelta
from functools import lru_cache, partial
from itertools import islice
from typing import cast

from django.db import Error as AnyDatabaseError
from django.db import connection

from codestream.core import hints
from codestream.core.backends import carrier
from codestream.core.clock import now
from codestream.core.database_trouble import OUTAGES
from codestream.core.errors import CodeStreamError, internal_error
from codestream.core.log_context import logging_about
from codestream.core.metrics import STEP_SECONDS, TAKEOVERS
from codestream.core.prepared import Prepared
from codestream.core.work import (
    Claim,
    LeaseLostError,
    WorkKind,
    abandon,
    claim,
    due,
    due_rows,
    finishing,
    held_epoch,
    kind_named,
    put_off,
    registered,
    release,
)
from executions.bulkhead import Bulkhead
from executions.connections import close_connection, rest_connection
from executions.heart import Heart
from executions.models import Worker
from executions.watches import Watches
from executions.workers import living_workers, no_workers

SWEEP_SECONDS = 0.5
READY_SECONDS = 0.2
GRACE_SECONDS = 0.6
"""So long steps under way may go on when the worker is to end."""
END_SECONDS = 0.9
"""So long the whole end may take, whether the database answers or not."""
PAUSE = timedelta(seconds=1)
PAUSE_AFTER_FAULT = timedelta(seconds=5)
AHEAD = 8
"""So many rows for each thread are taken note of in one sweep."""
FEW = 4
"""With fewer threads than these, every kind of work may have them all."""
LONGEST_LINE = 20
"""After so many rows of one line, others get their turn."""
logger = logging.getLogger(__name__)
Key = tuple[str, uuid.UUID]


class WorkerFaultError(CodeStreamError):
    """The worker cannot go on as it has to; another process has to take its place."""

    code = "worker_fault"


class WorkerLoop:
    """One worker process: a heartbeat, a loop that sweeps, and threads that claim and work."""

    def __init__(self, *, threads: int) -> None:
        self.id = uuid.uuid4()
        self._stopping = threading.Event()
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="work")
        self._lock = threading.Lock()
        self._busy: dict[Key, Claim | None] = {}  # a thread is at it; without a claim yet: None
        self._hinted: set[Key] = set()  # busy, and a hint came for it meanwhile
        self._backlog: deque[Key] = deque()  # waits for a thread
        self._owed: set[Key] = set()  # the database has not taken it back yet
        self._bulkhead = Bulkhead(threads)
        self._heart = Heart(self.id, threads)
        self._watches = Watches(self.id, alive=living_workers)

    def stop(self) -> None:
        """Claim nothing more and come to an end; steps under way get a moment to finish."""
        self._stopping.set()

    def run(self, *, is_ready: Callable[[], bool] = lambda: True) -> None:
        """Work until stopped, as soon as it is ready to. Raises WorkerFaultError, after the
        hand-over, when its heart or its watches do not go on: the worker would pass for dead while
        it works.
        """
        while not is_ready():
            if self._stopping.wait(READY_SECONDS):
                return
        self._heart.beat_first(self._stopping)
        beating = _begin("heartbeat", self._beat)
        watching = _begin("watches", self._watches.run)
        try:
            hints.work_here(work_now=self.work_now, offer=self.offer)
            waiting = carrier().listen(self._stopping, threads=self._threads)
            while not self._stopping.is_set():
                self._sweep_safely()
                waiting(SWEEP_SECONDS, idle=not self._busy)
                self._look_after(beating, watching)
        finally:
            self._end(beating, watching)

    def work_now(self, kind: str, pk: uuid.UUID) -> None:
        """Claim the row, if it still wants attention, and do its step, in this thread: where
        ``offer`` has refused it (see ``hints.attend``).
        """
        if kind_named(kind) is not None and self._occupy((kind, pk)):
            self._work_on((kind, pk))

    def offer(self, kind: str, pk: uuid.UUID) -> bool:
        """Take the row for a thread of this worker, at once or as soon as one is free; False when
        too much waits for that already.
        """
        key = (kind, pk)
        with self._lock:
            if key in self._busy:
                self._hinted.add(key)
                return True
            if kind_named(kind) is None or self._stopping.is_set():
                return False
            if len(self._busy) >= self._threads or self._is_crowded(kind):
                has_room = len(self._backlog) < self._threads
                if has_room:
                    self._backlog.append(key)
                return has_room
            self._busy[key] = None
        self._pool.submit(self._work_on, key)
        return True

    def sweep(self) -> int:
        """Take what is due and no hint told of, oldest first; return how much was taken."""
        free = self._threads - len(self._busy)
        if free <= 0:
            return 0
        found = [
            (since, kind.name, pk)
            for kind in registered()
            for since, pk in _due(kind, AHEAD * self._threads).all()
        ]
        keys = [(kind, pk) for _since, kind, pk in sorted(found)]
        with self._lock:
            self._backlog = deque(dict.fromkeys((*self._backlog, *keys)))
        begun = list(islice(iter(self._occupy_next, None), free))
        for key in begun:
            self._pool.submit(self._work_on, key)
        return len(begun)

    def _sweep_safely(self) -> None:
        try:
            self.sweep()
        except AnyDatabaseError as error:
            logger.error("The database does not answer (%s); trying again.", error)
            connection.close()
            self._stopping.wait(SWEEP_SECONDS)

    def _look_after(self, *threads: threading.Thread) -> None:
        lost = [each.name for each in threads if not each.is_alive()]
        if self._heart.is_stuck():
            lost.append("heartbeat")
        if lost and not self._stopping.is_set():
            raise WorkerFaultError(f"These threads do not go on: {', '.join(lost)}.")

    def _occupy(self, key: Key) -> bool:
        """Keep the row for one thread; False when another is at it, or the worker is to end."""
        with self._lock:
            if key in self._busy or self._stopping.is_set():
                return False
            self._busy[key] = None
            return True

    def _look_again(self, key: Key) -> None:
        """The turn of the row has come, and another thread occupies it. If that has not claimed it
        yet, it may just have been refused because it was not its turn: let it try again.
        """
        with self._lock:
            if key in self._busy and self._busy[key] is None:
                self._hinted.add(key)

    def _occupy_next(self) -> Key | None:
        """Occupy the row of the backlog that is due longest, of a kind that may have a thread."""
        with self._lock:
            if self._stopping.is_set():
                return None
            self._backlog = deque(key for key in self._backlog if key not in self._busy)
            found = next((key for key in self._backlog if not self._is_crowded(key[0])), None)
            if found is not None:
                self._backlog.remove(found)
                self._busy[found] = None
            return found

    def _is_crowded(self, kind: str) -> bool:
        """Whether one more of this kind would take the last thread: outside systems that hang may
        keep all of theirs for a while, and the rest must go on.
        """
        of_this_kind = sum(name == kind for name, _pk in self._busy)
        return self._threads >= FEW and of_this_kind >= self._threads - 1

    def _work_on(self, key: Key) -> None:
        """Work the row, which is occupied already, and then what else is due."""
        occupied: Key | None = key
        while occupied is not None:
            name, pk = occupied
            self._work_line(cast(WorkKind, kind_named(name)), pk)
            occupied = self._occupy_next()

    def _work_line(self, kind: WorkKind, pk: uuid.UUID) -> None:
        """Work the row, which is occupied already, and then those behind it in its line."""
        try:
            for turn in range(1, LONGEST_LINE + 1):
                behind = self._claim_and_step(kind, pk)
                if behind is None:
                    return
                if turn == LONGEST_LINE:
                    with self._lock:
                        self._backlog.append((kind.name, behind))
                elif not self._occupy((kind.name, behind)):
                    self._look_again((kind.name, behind))
                    return
                pk = behind
        finally:
            rest_connection()

    def _claim_and_step(self, kind: WorkKind, pk: uuid.UUID) -> uuid.UUID | None:
        """Work one row and return the next of its line, or whose turn it is instead; whatever goes
        wrong ends here.
        """
        key, taken = (kind.name, pk), None
        try:
            taken = claim(kind, pk, owner=self.id, alive=living_workers)
            if taken is None:
                # Not its turn, perhaps: of the hints of one line only one goes (decision 0016).
                first = kind.first_in_line(pk)
                # Itself: its step has failed and waits for another try, or another worker has it.
                return None if first == pk else first
            if self._stopping.is_set():
                release(taken)
                return None
            self._busy[key] = taken  # no lock: this thread alone changes what its key has
            target = kind.target(taken.row)
            with self._bulkhead.passage(target) as may_pass:
                if not may_pass:
                    pause = timedelta(seconds=self._bulkhead.pause(target))
                    with suppress(LeaseLostError), finishing(taken, wake_at=now() + pause):
                        pass
                    return None
                self._step(kind, taken)
            return None if self._stopping.is_set() else kind.next_in_line(taken)
        except AnyDatabaseError as error:
            logger.error("%s %s: the database failed: %s", kind.name, pk, error)
            # A claim may have been written although its answer never came.
            self._owed.add(key)
            close_connection()
            return None
        except Exception:
            # Nobody would hear of it: this is the end of a thread of the pool.
            logger.exception("%s %s: what belongs to the step failed.", kind.name, pk)
            self._put_off(kind, pk, taken)
            return None
        finally:
            with self._lock:
                del self._busy[key]
                is_hinted = key in self._hinted
                self._hinted.discard(key)
            if is_hinted:
                self.offer(*key)

    def _step(self, kind: WorkKind, taken: Claim) -> None:
        started, outcome = time.monotonic(), "done"
        with logging_about(**kind.about(taken.row), **{kind.name: str(taken.pk)}):
            if taken.takeover:
                TAKEOVERS.labels(kind.name).inc()
                words = "%s %s is taken over from worker %s, which is gone."
                logger.warning(words, kind.name, taken.pk, taken.row.lease_owner)
            try:
                # ``judge_event``, ``work_task``, …: each app's apps.py registers its own.
                kind.step(taken)
            except LeaseLostError:
                outcome = "lost"
                logger.warning("%s %s was taken over by another worker.", kind.name, taken.pk)
            except OUTAGES as error:
                outcome = "database"
                logger.error("%s %s: the database failed: %s", kind.name, taken.pk, error)
                self._retry_soon(kind, taken)
            except Exception as error:
                # The outermost loop: a fault of ours ends this piece of work, never the worker.
                outcome = "fault"
                logger.exception("%s %s: the step failed.", kind.name, taken.pk)
                self._give_up(kind, taken, error)
        STEP_SECONDS.labels(kind.name, outcome).observe(time.monotonic() - started)

    def _give_up(self, kind: WorkKind, taken: Claim, error: Exception) -> None:
        try:
            kind.fail(taken, internal_error(error))
        except Exception:
            logger.exception("%s %s could not be ended.", kind.name, taken.pk)
            self._retry_soon(kind, taken)

    def _put_off(self, kind: WorkKind, pk: uuid.UUID, taken: Claim | None) -> None:
        """Let the sweeps find the row again, after a pause, if it was not done."""
        close_connection()
        wake_at = now() + PAUSE_AFTER_FAULT
        try:
            if taken is None:
                put_off(kind.model, pk, until=wake_at)
            else:
                release(taken, wake_at=wake_at)
        except Exception:
            logger.exception("%s %s could not be put off.", kind.name, pk)
            self._owed.add((kind.name, pk))

    def _retry_soon(self, kind: WorkKind, taken: Claim) -> None:
        """Free the row, to be tried again in a moment."""
        close_connection()
        try:
            release(taken, wake_at=now() + PAUSE)
        except AnyDatabaseError:
            logger.error("%s could not be freed yet.", taken.pk)
            self._owed.add((kind.name, taken.pk))

    def _give_back_owed(self) -> None:
        """Free what the database did not take back when it failed: nobody else may, for as long as
        this worker lives.
        """
        for name, pk in list(self._owed):
            kind = kind_named(name)
            epoch = held_epoch(kind.model, pk, owner=self.id) if kind else None
            if (name, pk) in self._busy:
                continue
            # Nobody here works on it, and who begins now claims it under a later epoch.
            if kind and epoch is not None:
                abandon(kind.model, pk, epoch=epoch)
            self._owed.discard((name, pk))

    def _beat(self) -> None:
        self._heart.beat_on(
            self._stopping,
            holding=lambda: list(self._busy.values()),
            give_back=self._give_back_owed,
        )

    def _end(self, beating: threading.Thread, watching: threading.Thread) -> None:
        """Hand over and come to an end by the deadline, whether the database answers or not."""
        deadline = time.monotonic() + END_SECONDS
        self._stopping.set()
        handing = _begin("hand-over", partial(self._hand_over, beating))
        self._watches.close()
        hints.stop_here()
        for thread in (handing, beating, watching):
            thread.join(max(0.0, deadline - time.monotonic()))
        if handing.is_alive():
            logger.error("Nothing could be handed over in time; it is taken over soon.")
        self._pool.shutdown(wait=False, cancel_futures=True)
        close_connection()

    def _hand_over(self, beating: threading.Thread) -> None:
        """Wait a moment for the steps under way, then give back what is still held."""
        deadline = time.monotonic() + GRACE_SECONDS
        while self._busy and time.monotonic() < deadline:
            time.sleep(0.01)
        # A last beat would bring the worker's row back.
        beating.join(max(0.0, deadline - time.monotonic()))
        try:
            for taken in list(self._busy.values()):
                if taken is not None:
                    release(taken)
            Worker.objects.filter(pk=self.id).delete()
        except AnyDatabaseError as error:
            logger.error("Nothing could be handed over (%s); it is taken over soon.", error)
        close_connection()


def _begin(name: str, run: Callable[[], None]) -> threading.Thread:
    """Start a thread that ends with the process at the latest."""
    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    return thread


@lru_cache
def _due(kind: WorkKind, most: int) -> Prepared[tuple[datetime, uuid.UUID]]:
    """The question what of this kind is due, oldest first."""
    return Prepared(lambda: due_rows(kind, alive=living_workers)[:most])


def drain(*, most: int = 200) -> int:
    """Do everything that is due, here and now, in this thread; for commands and tests."""
    owner, done = uuid.uuid4(), 0
    for _ in range(most):
        found = {kind: due(kind, alive=no_workers, limit=9) for kind in registered()}
        work = [(kind, pk) for kind, rows in found.items() for _since, pk in rows]
        for kind, pk in work:
            taken = claim(kind, pk, owner=owner, alive=no_workers)
            if taken is not None:
                kind.step(taken)
                done += 1
        if not work:
            break
    return done
