"""Hints over PostgreSQL: Procrastinate's queue, whose LISTEN wakes one worker of many.

Jobs are never retried and hold no locks, since a job is only a hint: the row says what is to be
done, and the sweeps find what a lost job told of. Contract: procrastinate.readthedocs.io.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any

from django.db import Error as AnyDatabaseError
from django.db import connection, transaction
from django.utils.module_loading import import_string
from django_tasks.base import Task
from procrastinate import App
from procrastinate.contrib.django.django_connector import DjangoConnector
from procrastinate.exceptions import ProcrastinateException

from codestream.core.backends import Carrier, Waiting

QUEUE = "hints"
POLL_SECONDS = 5.0
AGAIN_SECONDS = 1.0
GATHER_SECONDS = 0.01
"""The first hint after a rest goes at once; what comes right behind it waits for so long."""
REST, LONG_REST = 9, 99
"""While hints keep coming, the sender rests so many times as long as it took to send the last ones:
``REST`` times for each of them, and at most ``LONG_REST`` times.
"""
LONGEST_REST_SECONDS = 0.25
"""With longer rests, sweeps would find most of the rows before."""
MOST_AT_ONCE = 500
MOST_IN_A_JOB = 10
"""So many hints are one job, since each costs alike; with more, other workers get some, too."""
Hint = dict[str, Any]
logger = logging.getLogger(__name__)
# Jobs are deferred over Django's own connection, in the threads of workers too; workers fetch
# them with an App of their own, so that neither uses the other's connector.
connector = DjangoConnector()
deferring = App(connector=connector)


@deferring.task(name="codestream.hints", queue=QUEUE)
def call(hints: list[Hint]) -> None:
    """Call the tasks of the tasks API that have these paths."""
    for hint in hints:
        import_string(hint["path"]).call(*hint["args"])


class Sender:
    """Defers hints from a thread of its own: whoever gives one does not wait for it, and those that
    come together are one transaction.
    """

    def __init__(self) -> None:
        self._hints: SimpleQueue[tuple[str, Hint]] = SimpleQueue()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def send(self, line: str, hint: Hint) -> None:
        """Have it deferred in a moment."""
        self._hints.put((line, hint))
        with self._starting:
            # A process that was forked has none, though the object is there.
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._send_on, name="sender", daemon=True)
                self._thread.start()

    def _send_on(self) -> None:
        while True:
            hints, number = gathered(self._hints)
            began = time.monotonic()
            try:
                defer(hints)
            except Exception:
                logger.exception("%s hints were lost; a sweep will find the rows.", len(hints))
            time.sleep(rest_after(number, time.monotonic() - began))


sender = Sender()
"""That of this process. The tasks API makes a backend for each thread."""


class ProcrastinateBackend(Carrier):
    """Sends hints as Procrastinate's jobs."""

    def send(self, task: Task[Any, Any], args: Any, *, line: str = "") -> None:
        """Have a job deferred in a moment."""
        sender.send(line, {"path": task.module_path, "args": list(args)})

    def listen(self, stopping: threading.Event, *, threads: int) -> Waiting:
        """Fetch jobs in a thread of their own, for as long as this worker runs."""
        run = partial(_fetch_on, stopping, threads)
        threading.Thread(target=run, name="hints", daemon=True).start()
        return super().listen(stopping, threads=threads)


def gathered(hints: SimpleQueue[tuple[str, Hint]]) -> tuple[list[Hint], int]:
    """Wait for a hint; return it with those that are there by now, one of each line, and how many
    had come.
    """
    line, hint = hints.get()
    found, lines, number = [hint], {line}, 1
    with suppress(Empty):
        while number < MOST_AT_ONCE:
            line, hint = hints.get_nowait()
            number += 1
            if not line or line not in lines:
                found.append(hint)
                lines.add(line)
    return found, number


def rest_after(number: int, took: float) -> float:
    """How long to rest after so many hints, which took so long to send; in seconds."""
    return min(max(GATHER_SECONDS, min(REST * number, LONG_REST) * took), LONGEST_REST_SECONDS)


def defer(hints: list[Hint]) -> None:
    """Defer them. They need not survive a power cut, so nothing waits for the disk."""
    jobs: list[Any] = [
        {"hints": hints[first : first + MOST_IN_A_JOB]}
        for first in range(0, len(hints), MOST_IN_A_JOB)
    ]
    try:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SET LOCAL synchronous_commit TO OFF")
            call.batch_defer(*jobs)
    except (ProcrastinateException, AnyDatabaseError) as error:
        logger.warning("%s hints were lost (%s); a sweep will find the rows.", len(hints), error)
    finally:
        connection.close()


def _fetch_on(stopping: threading.Event, threads: int) -> None:
    """Fetch jobs; Procrastinate's worker ends with its connection, so begin again."""
    while not stopping.is_set():
        try:
            asyncio.run(_fetch(stopping, threads))
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001
            # Whatever it is, hints must go on.
            logger.warning("No hints from PostgreSQL (%s); sweeps go on.", error)
        stopping.wait(AGAIN_SECONDS)


async def _fetch(stopping: threading.Event, threads: int) -> None:
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(threads))
    fetching = App(connector=connector.get_worker_connector())
    fetching.tasks = deferring.tasks
    async with fetching.open_async():
        working = asyncio.ensure_future(
            fetching.run_worker_async(
                queues=[QUEUE],
                concurrency=threads,
                delete_jobs="always",
                fetch_job_polling_interval=POLL_SECONDS,
                install_signal_handlers=False,
                shutdown_graceful_timeout=0.5,
            )
        )
        while not stopping.is_set() and not working.done():
            await asyncio.wait([working], timeout=0.1)
        working.cancel()
        with suppress(asyncio.CancelledError):
            await working
