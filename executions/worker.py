"""The worker: finds rows that want attention, claims them and lets the registered steps do them.

It keeps nothing that matters: kill it at any time, and another one takes its rows over as soon
as its heart has not beaten for a few seconds.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from django.db import DatabaseError, InterfaceError, OperationalError, connection, transaction

from codestream.core.clock import now
from codestream.core.work import (
    Claim,
    LeaseLostError,
    WorkKind,
    claim,
    due,
    registered,
    renew,
)
from executions.models import Worker

HEARTBEAT_SECONDS = 1.0
DEAD_AFTER = timedelta(seconds=3)
SWEEP_SECONDS = 0.5
LOOK_SECONDS = 0.02
GRACE_SECONDS = 5.0
PAUSE = timedelta(seconds=1)
logger = logging.getLogger(__name__)


class WorkerLoop:
    """One worker process: a heartbeat, a loop that claims, and threads that work."""

    def __init__(self, *, threads: int) -> None:
        self.id = uuid.uuid4()
        self._stopping = threading.Event()
        self._threads = threads
        self._held: dict[tuple[str, uuid.UUID], Claim] = {}
        self._lock = threading.Lock()
        self._data_version = -1

    def stop(self) -> None:
        """Claim nothing more and come to an end; steps under way get a moment to finish."""
        self._stopping.set()

    def run(self) -> None:
        """Work until stopped."""
        self._beat()
        heart = threading.Thread(target=self._beat_on, name="heartbeat", daemon=True)
        heart.start()
        pool = ThreadPoolExecutor(self._threads, thread_name_prefix="work")
        try:
            while not self._stopping.is_set():
                if not self._sweep_safely(pool):
                    self._wait_for_change()
        finally:
            self._stopping.set()
            pool.shutdown(wait=False, cancel_futures=True)
            heart.join(HEARTBEAT_SECONDS * 2)
            self._wait_for_steps()
            Worker.objects.filter(pk=self.id).delete()
            connection.close()

    def sweep(self, pool: ThreadPoolExecutor) -> int:
        """Claim what is due, as far as threads are free; return how many were claimed."""
        alive = living_workers()
        claimed = 0
        for kind in registered():
            free = self._threads - len(self._held)
            for pk in due(kind, alive=alive, limit=free) if free > 0 else []:
                taken = claim(kind, pk, owner=self.id, alive=alive)
                if taken is not None:
                    claimed += 1
                    with self._lock:
                        self._held[kind.name, pk] = taken
                    pool.submit(self._work, kind, taken)
        return claimed

    def _sweep_safely(self, pool: ThreadPoolExecutor) -> int:
        try:
            return self.sweep(pool)
        except DatabaseError:
            logger.exception("The database does not answer; trying again.")
            connection.close()
            self._stopping.wait(SWEEP_SECONDS)
            return 0

    def _work(self, kind: WorkKind, taken: Claim) -> None:
        try:
            kind.step(taken)
        except LeaseLostError:
            logger.warning("%s %s was taken over by another worker.", kind.name, taken.pk)
        except (OperationalError, InterfaceError):
            logger.exception("%s %s: the database failed; trying again.", kind.name, taken.pk)
            self._let_go(taken)
        except Exception as error:
            # The outermost loop: a fault of ours ends this piece of work, never the worker.
            logger.exception("%s %s: the step failed.", kind.name, taken.pk)
            self._give_up(kind, taken, error)
        finally:
            with self._lock:
                # The row may have been claimed again already; that claim stays.
                if self._held.get((kind.name, taken.pk)) is taken:
                    del self._held[kind.name, taken.pk]
            connection.close()

    def _give_up(self, kind: WorkKind, taken: Claim, error: Exception) -> None:
        message = f"Internal error ({type(error).__name__}). The worker's log has the details."
        try:
            kind.fail(taken, message)
        except Exception:
            logger.exception("%s %s could not be ended.", kind.name, taken.pk)
            self._let_go(taken)

    def _let_go(self, taken: Claim) -> None:
        """Free the row, to be tried again in a moment."""
        rows = taken.model._default_manager.filter(pk=taken.pk, epoch=taken.epoch)
        try:
            rows.update(lease_until=None, lease_owner=None, wake_at=now() + PAUSE)
        except DatabaseError:
            logger.exception("%s could not be freed; its lease runs out.", taken.pk)

    def _beat_on(self) -> None:
        while not self._stopping.wait(HEARTBEAT_SECONDS):
            try:
                self._beat()
            except DatabaseError:
                logger.exception("The heartbeat was not written.")
        connection.close()

    def _beat(self) -> None:
        with transaction.atomic():
            Worker.objects.update_or_create(
                pk=self.id,
                defaults={"heartbeat_at": now(), "host": socket.gethostname(), "pid": os.getpid()},
            )
            Worker.objects.filter(heartbeat_at__lt=now() - timedelta(hours=1)).delete()
            with self._lock:
                held = list(self._held.values())
            for taken in held:
                renew(taken)

    def _wait_for_change(self) -> None:
        """Sleep until the database changes (SQLite tells at once) or the next sweep is due."""
        for _ in range(int(SWEEP_SECONDS / LOOK_SECONDS)):
            if self._stopping.wait(LOOK_SECONDS) or self._has_changed():
                return

    def _has_changed(self) -> bool:
        if connection.vendor != "sqlite":
            return False
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA data_version")
            version = int(cursor.fetchone()[0])
        changed = version != self._data_version
        self._data_version = version
        return changed

    def _wait_for_steps(self) -> None:
        pause = threading.Event()
        for _ in range(int(GRACE_SECONDS / LOOK_SECONDS)):
            if not self._held:
                return
            pause.wait(LOOK_SECONDS)


def living_workers() -> frozenset[uuid.UUID]:
    """Return the workers whose heart has beaten in the last seconds."""
    rows = Worker.objects.filter(heartbeat_at__gt=now() - DEAD_AFTER)
    return frozenset(rows.values_list("pk", flat=True))


def drain(*, most: int = 200) -> int:
    """Do everything that is due, here and now, in this thread; for commands and tests."""
    owner, done = uuid.uuid4(), 0
    for _ in range(most):
        work = [(kind, pk) for kind in registered() for pk in due(kind, alive=frozenset(), limit=9)]
        for kind, pk in work:
            taken = claim(kind, pk, owner=owner, alive=frozenset())
            if taken is not None:
                kind.step(taken)
                done += 1
        if not work:
            break
    return done
