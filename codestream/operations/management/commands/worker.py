"""``manage.py worker``: judges deliveries, runs tasks, mirrors webhooks, until it is stopped."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.db import Error as AnyDatabaseError
from django.db import connection

from codestream.operations.health import open_migrations
from codestream.operations.probes import serving_probes
from executions.worker import END_SECONDS, WorkerLoop

ENDS = (signal.SIGTERM, signal.SIGINT)
LAST_SECONDS = END_SECONDS + 0.3
"""After so long the process ends, whatever its main thread waits for."""
logger = logging.getLogger(__name__)


class Command(BaseCommand):
    """Run a worker in the foreground; SIGTERM and Ctrl-C end it within about a second."""

    help = "Judges deliveries, runs tasks and mirrors webhooks, until it is stopped."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--threads", type=int, default=settings.WORKER_THREADS)

    def handle(self, *args: Any, **options: Any) -> None:
        loop = WorkerLoop(threads=options["threads"])
        hear_signals(loop.stop, leave=os._exit)
        try:
            with serving_probes(settings.WORKER_METRICS_HOST, settings.WORKER_METRICS_PORT):
                loop.run(is_ready=DatabaseAtStart().is_migrated)
        except Exception:
            logger.exception("The worker cannot go on; another process has to take its place.")
            _leave(1)
        _leave(0)


class DatabaseAtStart:
    """The database as a worker finds it, which may be started before it is brought up to date: what
    lacks the columns of this release would fail step by step.
    """

    def __init__(self) -> None:
        self._said = ""

    def is_migrated(self) -> bool:
        """Whether it holds every migration of this release; what else it is, is said once."""
        try:
            missing = open_migrations()
        except AnyDatabaseError as error:
            problem = f"the database does not answer ({error})"
        else:
            problem = "the database lacks migrations of this release" if missing else ""
        finally:
            connection.close()
        if problem and problem != self._said:
            logger.warning("Not at work yet: %s.", problem)
            self._said = problem
        return not problem


def hear_signals(stop: Callable[[], None], *, leave: Callable[[int], None]) -> None:
    """Call ``stop`` when the process is asked to end, and ``leave`` when it is still there then.

    A thread does both. A handler runs in the middle of the main thread, which may hold the very
    lock that the handler needs, and not at all while the main thread waits for the database.
    """
    heard, told = os.pipe()
    os.set_blocking(told, False)
    for number in ENDS:
        signal.signal(number, _is_heard)
    signal.set_wakeup_fd(told, warn_on_full_buffer=False)
    arguments = (heard, stop, leave)
    threading.Thread(target=_end_by_signal, args=arguments, name="signals", daemon=True).start()


def _is_heard(*_: object) -> None:
    """Nothing is left to do: the number of the signal is in the pipe."""


def _end_by_signal(heard: int, stop: Callable[[], None], leave: Callable[[int], None]) -> None:
    while os.read(heard, 1)[0] not in ENDS:
        pass
    stop()
    time.sleep(LAST_SECONDS)
    leave(0)


def _leave(code: int) -> None:
    """End without waiting for steps that still wait for an answer: their rows are given back."""
    logging.shutdown()
    os._exit(code)
