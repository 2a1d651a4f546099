"""One watch on one place of a cluster, in a thread of its own, for as long as it is needed.

Every half minute it begins anew with a list, which is the net for whatever a watch has missed: what
the list finds is compared with what is known. A watch that breaks is begun again after a pause.
Nothing of the database is touched here.
"""

from __future__ import annotations

import logging
import threading
import time

from codestream.core.errors import CodeStreamError
from endpoints.clients.base import Forbidden, NotFound
from endpoints.clients.kubernetes import Kubernetes
from endpoints.clients.kubernetes_marks import BOOKMARK
from endpoints.clients.kubernetes_watch import Watch
from executions.watch_board import POD, Board, Place, State

WATCH_SECONDS = 25
GRACE_SECONDS = 10.0
"""So long a place without a watch counts as watched: the next one begins with a list."""
STANDING_SECONDS = 3.0
"""A watch that ends sooner was cut, and is worth no trust until one has stood so long."""
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 15.0
logger = logging.getLogger(__name__)


class Stream:
    """The watch on one place. ``is_refused`` when the account may not, or the server cannot."""

    def __init__(self, client: Kubernetes, place: Place, board: Board) -> None:
        self.place = place
        self.is_refused = False
        self.reason = "it is not up yet"
        self._client = client
        self._board = board
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._watch: Watch | None = None
        self._began = time.monotonic()
        self._opened: float | None = None
        self._was_up: float | None = None
        self._failures = 0

    def start(self) -> None:
        """Watch, in a thread that ends with the process."""
        threading.Thread(target=self._run, name=f"watch {self.place.kind}", daemon=True).start()

    def end(self) -> None:
        """Watch no more; returns at once."""
        self._ended.set()
        with self._lock:
            if self._watch is not None:
                self._watch.close()

    def state(self) -> State:
        """LIVE while a watch is open, or was a moment ago."""
        with self._lock:
            now = time.monotonic()
            if self._opened is not None and now - self._opened >= STANDING_SECONDS:
                self._failures = 0
            if self._opened is not None and not self._failures:
                self._was_up = now
            since = self._began if self._was_up is None else self._was_up
            if self.is_refused or now - since > GRACE_SECONDS:
                return State.DOWN
            return State.PENDING if self._was_up is None else State.LIVE

    def _run(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while not self._ended.is_set():
            began = time.monotonic()
            try:
                self._cycle()
            except (Forbidden, NotFound) as error:
                self.reason, self.is_refused = error.user_message, True
                return
            except CodeStreamError as error:
                self.reason = error.user_message
            except Exception:
                # Whatever a broken connection or a fault of ours brings: the next try is a new one.
                if not self._ended.is_set():
                    self.reason = "it failed; the worker's log has the details"
                    logger.exception("The watch on %s failed.", self.place)
            finally:
                self._note_end()
            stood = time.monotonic() - began >= STANDING_SECONDS
            pause = FIRST_PAUSE_SECONDS if stood else min(2 * pause, LONGEST_PAUSE_SECONDS)
            if self._failures:
                self._ended.wait(pause)

    def _cycle(self) -> None:
        """List, then hear of changes until the watch is over."""
        place = self.place
        where = (place.api_version, place.kind)
        try:
            version, marks = self._client.marks(*where, namespace=place.namespace)
        except Forbidden:
            if where != POD or not place.namespace:
                raise
            self._go_without()
            return
        self._board.listed(place, marks)
        del marks
        watch = self._client.watch(
            *where, namespace=place.namespace, since=version, seconds=WATCH_SECONDS
        )
        self._note_begin(watch)
        for kind, mark in watch:
            if kind != BOOKMARK:
                self._board.heard(place, kind, mark)

    def _go_without(self) -> None:
        """Who may not see pods waits for none: looks at rollouts do without them, too."""
        self._note_begin(None)
        self._ended.wait(WATCH_SECONDS)

    def _note_begin(self, watch: Watch | None) -> None:
        with self._lock:
            self._watch, self._opened = watch, time.monotonic()
            if self._ended.is_set() and watch is not None:
                watch.close()

    def _note_end(self) -> None:
        with self._lock:
            now = time.monotonic()
            stood = self._opened is not None and now - self._opened >= STANDING_SECONDS
            if self._opened is not None and (stood or not self._failures):
                self._was_up = now
            self._failures = 0 if stood else self._failures + 1
            self._watch = self._opened = None
