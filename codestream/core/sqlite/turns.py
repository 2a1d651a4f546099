"""Who may write to a file: one thread of one process at a time, each in its turn.

SQLite lets one writer in, and who comes while it is busy sleeps and tries again, longer each time:
a process whose threads write one right after another leaves no gap, and others hardly ever get in.
So threads queue for their process, and processes for the file.

A process queues by locking two bytes of a file beside the database, which the kernel unlocks when
the process is gone: who holds ``NEXT`` takes ``TURN`` as soon as that is free, and nobody else can
come between. A process may be frozen in its turn: then the others go on without turns of processes
after a moment, and SQLite decides, as it would without all this.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fcntl import LOCK_EX, LOCK_NB, LOCK_UN, lockf

NEXT, TURN = 0, 1
LOOK_SECONDS = 0.0003
HOLD_SECONDS = 0.003
"""While its threads wait, a process keeps its turn for so long before others get theirs."""
PATIENCE_SECONDS = 1.0
"""No transaction of the product takes so long."""
DISTRUST_SECONDS = 30.0
"""So long nobody waits any more for a queue that stood still; who finds it free takes his turn."""


class Turns:
    """The queue of one file; ``path`` is empty for a database that only this process has."""

    def __init__(self, path: str) -> None:
        self._free = threading.Condition()
        self._is_taken = False
        self._waiting = 0
        self._file = FileTurn(path) if path else None
        self._held_since: float | None = None

    def take(self, seconds: float) -> bool:
        """Wait for the turn among the threads; False when it does not come in time. ``give`` it
        back afterwards. With it comes the turn of the process, as far as that can be had.
        """
        with self._free:
            self._waiting += 1
            came = self._free.wait_for(lambda: not self._is_taken, seconds)
            self._waiting -= 1
            if not came:
                return False
            self._is_taken = True
        if self._file is not None and self._held_since is None and self._file.take():
            self._held_since = time.monotonic()
        return True

    def give(self) -> None:
        """Let the next thread have it, or the next process."""
        with self._free:
            since = self._held_since
            is_due = not self._waiting or since is None or time.monotonic() > since + HOLD_SECONDS
            if self._file is not None and since is not None and is_due:
                self._held_since = None
                self._file.give()
            self._is_taken = False
            self._free.notify()


class FileTurn:
    """The turns of processes. Locks of this kind are a process's own: a fork has none of them."""

    def __init__(self, path: str) -> None:
        self._path = f"{path}-turns"
        self._file = -1
        self._trust_from = 0.0

    def take(self) -> bool:
        """Wait a moment for the turn of this process; False when it does not come, and where a file
        cannot be locked or is another user's.
        """
        began = time.monotonic()
        is_patient = began >= self._trust_from
        until = began + PATIENCE_SECONDS if is_patient else began
        try:
            if self._file < 0:
                self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            with self._place(NEXT, until) as is_next:
                has_turn = is_next and self._lock(TURN, until)
        except OSError:
            return False
        if has_turn:
            self._trust_from = 0.0
        elif is_patient:
            self._trust_from = time.monotonic() + DISTRUST_SECONDS
        return has_turn

    def give(self) -> None:
        """Let the next process have it."""
        self._unlock(TURN)

    @contextmanager
    def _place(self, place: int, until: float) -> Iterator[bool]:
        got = self._lock(place, until)
        try:
            yield got
        finally:
            if got:
                self._unlock(place)

    def _lock(self, place: int, until: float) -> bool:
        while True:
            try:
                lockf(self._file, LOCK_EX | LOCK_NB, 1, place)
            except (BlockingIOError, PermissionError):
                if time.monotonic() >= until:
                    return False
                time.sleep(LOOK_SECONDS)
            else:
                return True

    def _unlock(self, place: int) -> None:
        with suppress(OSError):
            lockf(self._file, LOCK_UN, 1, place)


_queues: dict[str, Turns] = {}
_queueing = threading.Lock()


def turns_of(path: str) -> Turns:
    """The one queue of the file in this process."""
    with _queueing:
        if path not in _queues:
            _queues[path] = Turns(path)
        return _queues[path]
