"""Two actors on one database: the second acts when the first is about to send its n-th statement.

Each has a connection of its own. Where the second has to wait for a lock that the first holds, the
first goes on, and the second comes to its end as soon as it can: nothing here is a matter of time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from django.db import connection, connections

Act = Callable[[], object]
LONGEST_SECONDS = 30.0
WRITES = ("BEGIN", "INSERT", "UPDATE", "DELETE")


def interleave(first: Act, second: Act, *, before: int) -> bool:
    """Run ``first``, and ``second`` before its statement number ``before``, counted from 0.

    False when ``first`` needs fewer statements; ``second`` then acts after it. Raises what either
    of them raised.
    """
    other = _Other(second)
    sent = 0

    def before_each(execute: Any, *statement: Any) -> Any:
        nonlocal sent
        if sent == before:
            other.start()
        sent += 1
        other.settle()
        return execute(*statement)

    try:
        with connection.execute_wrapper(before_each):
            first()
    finally:
        other.finish()
    return sent > before


class _Other:
    """The second actor, in a thread."""

    def __init__(self, act: Act) -> None:
        self._act = act
        self._thread = threading.Thread(target=self._run, name="second actor")
        self._started = self._is_writing = False
        self._backend = 0
        self._error: BaseException | None = None
        self._observer = connections.create_connection("default")

    def start(self) -> None:
        self._started = True
        self._thread.start()

    def settle(self) -> None:
        """Once it has started: wait until it has ended, or waits for the first itself."""
        if not self._started:
            return
        deadline = time.monotonic() + LONGEST_SECONDS
        while self._thread.is_alive() and not self._is_blocked():
            assert time.monotonic() < deadline, "the second actor does not come to an end"
            self._thread.join(0.001)

    def finish(self) -> None:
        """Let it come to its end, and raise what it raised."""
        if not self._started:
            self.start()
        self._thread.join(LONGEST_SECONDS)
        self._observer.close()
        assert not self._thread.is_alive(), "the second actor does not come to an end"
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            if connection.vendor == "postgresql":
                with connection.cursor() as cursor:
                    cursor.execute("SELECT pg_backend_pid()")
                    self._backend = cursor.fetchone()[0]
            with connection.execute_wrapper(self._note):
                self._act()
        except BaseException as error:  # noqa: BLE001 - raised again by finish()
            self._error = error
        finally:
            connection.close()

    def _note(self, execute: Any, sql: str, *rest: Any) -> Any:
        self._is_writing = sql.startswith(WRITES)
        try:
            return execute(sql, *rest)
        finally:
            self._is_writing = False

    def _is_blocked(self) -> bool:
        """Whether it waits for the first: on SQLite every writer waits for the one before it."""
        if connection.vendor == "sqlite":
            return connection.in_atomic_block and self._is_writing
        with self._observer.cursor() as cursor:
            cursor.execute("SELECT pg_blocking_pids(%s) <> '{}'", [self._backend])
            return bool(cursor.fetchone()[0])
