"""Keeps one outside system that hangs from taking the threads of a worker, time-out by time-out."""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SLOW_SECONDS = 5.0
"""A step that takes longer makes its target slow; a shorter one makes it well again."""
SHARE = 4
"""One thread in so many is left to a slow target."""
LONGEST_PAUSE_SECONDS = 30.0
REFUSALS_A_SECOND = 50
"""After so many refusals the next ones wait a second longer: many rows that wait for one target
would else be claimed all the time, each in vain. Every slow step that ends halves the number.
"""


class Bulkhead:
    """Who speaks to which target, and since when. A target has a name; steps without one may always
    go on.
    """

    def __init__(self, threads: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = max(1, threads // SHARE)
        self._clock = clock
        self._lock = threading.Lock()
        self._began: defaultdict[str, list[float]] = defaultdict(list)
        self._slow: set[str] = set()
        self._refused: Counter[str] = Counter()

    @contextmanager
    def passage(self, target: str) -> Iterator[bool]:
        """Say whether one more step may speak to the target; it has its place until it is over."""
        began = self._enter(target) if target else None
        try:
            yield began is not None or not target
        finally:
            if began is not None:
                self._leave(target, began)

    def pause(self, target: str) -> float:
        """How many seconds a step had better wait that was not let through; one at least."""
        with self._lock:
            return min(1 + self._refused[target] / REFUSALS_A_SECOND, LONGEST_PAUSE_SECONDS)

    def _enter(self, target: str) -> float | None:
        moment = self._clock()
        with self._lock:
            began = self._began[target]
            if began and moment - began[0] > SLOW_SECONDS:
                self._slow.add(target)
            if target in self._slow and len(began) >= self._most:
                self._refused[target] += 1
                return None
            began.append(moment)
            return moment

    def _leave(self, target: str, began: float) -> None:
        with self._lock:
            self._began[target].remove(began)
            if not self._began[target]:
                del self._began[target]
            if self._clock() - began > SLOW_SECONDS:
                self._slow.add(target)
                self._refused[target] //= 2
            else:
                self._slow.discard(target)
                del self._refused[target]
