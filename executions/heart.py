"""The heart of a worker: tells the others that it lives, keeps its leases, and watches the clock.

Whom that makes pass for alive is in ``workers``; what becomes of a worker whose heart does not go
on is for its loop.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta

from django.db import Error as AnyDatabaseError
from django.db import connection, transaction

from codestream import RELEASE
from codestream.core.clock import database_now, now
from codestream.core.work import LEASE, Claim, held, registered, renew, wake_all
from executions.connections import close_connection
from executions.models import Worker

HEARTBEAT_SECONDS = 0.5
MOST_FAULTS = 10
"""A heart that failed so often in a row, through no fault of the database, is given up."""
STUCK_SECONDS = 20.0
"""A beat may wait so long: longer than for any lock, or for a server that is away."""
CLOCK_JUMP_SECONDS = 2.0
MOST_DRIFT_SECONDS = 2.0
"""So far may a machine's clock be from the database's, and nobody need mind."""
logger = logging.getLogger(__name__)


class Heart:
    """Beats for one worker, from a thread of its own."""

    def __init__(self, worker: uuid.UUID, threads: int) -> None:
        self._worker = worker
        self._threads = threads
        self._ahead: float | None = None
        self._drift = 0.0
        self._beats = 0
        self._heard = (0, time.monotonic(), 0.0)

    def beat_first(self, stopping: threading.Event) -> None:
        """Beat once before any work, however long the database takes to answer."""
        while not stopping.is_set() and not self.beat([]):
            stopping.wait(HEARTBEAT_SECONDS)

    def beat_on(
        self,
        stopping: threading.Event,
        *,
        holding: Callable[[], list[Claim | None]],
        give_back: Callable[[], None],
    ) -> None:
        """Beat until the worker is to end, whatever goes wrong; give up only a hopeless heart.

        ``holding`` says whose leases to keep. ``give_back`` is called whenever the database has
        answered, for what it did not take back before.
        """
        faults = 0
        while faults < MOST_FAULTS and not stopping.wait(HEARTBEAT_SECONDS):
            try:
                if self.beat(holding()):
                    give_back()
            except AnyDatabaseError as error:
                logger.error("Nothing could be given back: %s", error)
                close_connection()
            except Exception:
                # Without a heart the worker would pass for dead while it works on.
                logger.exception("The heart failed; it goes on.")
                close_connection()
                faults += 1
            else:
                faults = 0
        close_connection()

    def beat(self, claims: list[Claim | None]) -> bool:
        """Say that the worker lives; False when the database does not answer."""
        try:
            self._watch_the_clock()
            for taken in claims:
                if taken is not None:
                    _renew_in_time(taken)
        except AnyDatabaseError as error:
            logger.error("The heartbeat was not written: %s", error)
            connection.close()
            return False
        finally:
            self._beats += 1
        return True

    def is_stuck(self) -> bool:
        """Whether a beat does not come to an end, well or not, while the caller goes on.

        For the loop alone, once a round. A round counts as a second at most, so that nobody is
        found stuck after everything stood still.
        """
        (beats, looked, waited), moment = self._heard, time.monotonic()
        waited = 0.0 if beats != self._beats else waited + min(1.0, moment - looked)
        self._heard = (self._beats, moment, waited)
        return waited > STUCK_SECONDS

    def _watch_the_clock(self) -> None:
        """Write the heartbeat, which is the time by the database's clock, and compare it with a
        clock that nobody sets.
        """
        before, asked = now(), time.monotonic()
        moment = self._write()
        answered = time.monotonic()
        if moment is None:
            return
        if self._was_set_back(moment, moment.timestamp() - asked):
            _wake_sleepers()
        self._ahead = moment.timestamp() - answered
        self._tell_drift(_outside(moment, before, now()))

    def _tell_drift(self, drift: float) -> None:
        """Write down how far this machine's clock is ahead of the database's, when that changes."""
        if abs(drift - self._drift) < MOST_DRIFT_SECONDS / 2:
            return
        Worker.objects.filter(pk=self._worker).update(clock_ahead=drift)
        self._drift = drift
        if abs(drift) > MOST_DRIFT_SECONDS:
            logger.warning("This machine's clock is %+.1f s from the database's.", drift)

    def _was_set_back(self, moment: datetime, ahead: float) -> bool:
        if self._ahead is None:
            later = moment + timedelta(seconds=CLOCK_JUMP_SECONDS)
            done = [last for kind in registered() if (last := kind.last_done())]
            return max(done, default=moment) > later or _was_heard(after=later)
        return ahead < self._ahead - CLOCK_JUMP_SECONDS

    def _write(self) -> datetime | None:
        """Return what was written; None when another worker thinks this one long gone, since
        the clock has jumped: the next beat brings it back.
        """
        rows = Worker.objects.filter(pk=self._worker)
        if not rows.update(heartbeat_at=database_now()):
            Worker.objects.create(
                pk=self._worker,
                heartbeat_at=database_now(),
                host=socket.gethostname(),
                pid=os.getpid(),
                threads=self._threads,
                release=RELEASE,
                clock_ahead=self._drift,
            )
            forgotten = database_now(plus=timedelta(hours=-1))
            Worker.objects.filter(heartbeat_at__lt=forgotten).delete()
        return rows.values_list("heartbeat_at", flat=True).first()


def _was_heard(*, after: datetime) -> bool:
    """Whether a worker's heart has beaten later than that; one that ended in order has no row."""
    return Worker.objects.filter(heartbeat_at__gt=after).exists()


def _outside(moment: datetime, before: datetime, after: datetime) -> float:
    """How many seconds both are ahead of the moment, negative when behind: 0 where it may lie
    between them, since the database was slow or a lock was waited for.
    """
    if before <= moment <= after:
        return 0.0
    return min((before - moment).total_seconds(), (after - moment).total_seconds(), key=abs)


def _wake_sleepers() -> None:
    """Look at everything once: what was to wake "now" by the old clock would sleep on."""
    logger.warning("The clock was set back; everything that waits is looked at again.")
    for kind in registered():
        wake_all(kind.model._default_manager.filter(wake_at__gt=database_now()))


def _renew_in_time(taken: Claim) -> None:
    """Renew a lease that has used up a third of its time, or ends later than a lease can, since
    the clock was set back.

    A row that is locked is being written by its own step, which may wait for somebody's lock: the
    heart does not wait with it, or this worker would pass for dead and lose all that it holds.
    """
    fresh = (database_now(plus=LEASE * 2 / 3), database_now(plus=LEASE))
    ageing = held(taken).exclude(lease_until__range=fresh)
    if ageing.exists():
        with transaction.atomic():
            if ageing.select_for_update(no_key=True, skip_locked=True).exists():
                renew(taken)
