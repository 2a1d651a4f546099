"""The hint of the embedded worker is the database itself: SQLite counts the commits of others."""

from __future__ import annotations

import threading
from typing import Any

from django.db import DatabaseError, connection
from django_tasks.base import Task

from codestream.core.backends import Carrier, Waiting

LOOK_SECONDS = 0.005
LOOK_SECONDS_AT_WORK = 0.05
"""A worker that has work already looks less often: its own commits count as well."""


class EmbeddedBackend(Carrier):
    """Sends nothing: the commit that would give the hint can be seen by every process."""

    def send(self, task: Task[Any, Any], args: Any, *, line: str = "") -> None:
        """Leave it to ``PRAGMA data_version``."""

    def listen(self, stopping: threading.Event, *, threads: int) -> Waiting:
        """Watch the database from the thread that waits."""
        return _Watch(stopping)


class _Watch:
    """Waits for a commit. What it saw last is from before the sweep, so none is missed."""

    def __init__(self, stopping: threading.Event) -> None:
        self._stopping = stopping
        self._seen = -1

    def __call__(self, seconds: float, *, idle: bool) -> None:
        pause = LOOK_SECONDS if idle else LOOK_SECONDS_AT_WORK
        for _ in range(int(seconds / pause)):
            if self._stopping.wait(pause) or self._has_changed():
                return

    def _has_changed(self) -> bool:
        """Compare what changes with each commit of another connection; it costs microseconds."""
        before, self._seen = self._seen, _version()
        return before != self._seen


def _version() -> int:
    try:
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA data_version")
            return int(cursor.fetchone()[0])
    except DatabaseError:
        return -1
