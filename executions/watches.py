"""Wakes the tasks that wait for something in a cluster as soon as that changes.

Each worker watches the clusters that fall to it, with a watch for each kind and namespace in which
tasks wait. What a task waits for, and saw of it, is its ``RolloutWatch``; a task that is covered
sleeps until it is woken. Nothing here has to survive: whoever watches next compares what the tasks
saw with what there is.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any
from uuid import UUID

from django.db import Error as AnyDatabaseError
from django.db import connection, transaction
from django.db.models import QuerySet

from codestream import RELEASE
from codestream.core.clock import database_now
from codestream.core.errors import CodeStreamError
from codestream.core.work import announce, wake, wake_all
from endpoints.clients.kubernetes import Kubernetes
from endpoints.clients.kubernetes_shared import shared_client
from endpoints.kinds import cluster_access
from endpoints.models import Endpoint
from executions.models import RolloutWatch, TaskRun, Worker
from executions.runners.base import Sight
from executions.states import Status
from executions.watch_board import Board, Place, State, Waiting
from executions.watch_streams import Stream

READ_SECONDS = 0.5
PLAN_SECONDS = 1.0
WHOLE_SECONDS = 30.0
"""So often everything is read anew, whatever was missed."""
ROUND_SECONDS = 0.1
AGAIN_SECONDS = 2.0
GAP_SECONDS = 0.3
"""A task is woken no more often than this."""
MOST_AT_ONCE = 10
"""So many tasks are woken in one round: a change for thousands must not crowd out all else."""
FEW_NAMESPACES = 5
"""Where tasks wait in more namespaces than this, one watch on all of them takes their place."""
MOST_STREAMS = 40
REFUSED_SECONDS = 600.0
OVERLAP = timedelta(seconds=2)
"""Rows that were written so much earlier may become visible only now."""
CHUNK = 500
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cluster:
    """An endpoint as it was at a time; without a client where it cannot be signed in to."""

    name: str
    updated_at: datetime
    client: Kubernetes | None


class Watches:
    """The watches of one worker. ``run`` in a thread; ``close`` ends it at once.

    ``alive`` asks for the keys of the workers that live.
    """

    def __init__(self, worker: UUID, *, alive: Callable[[], QuerySet[Worker, Any]]) -> None:
        self._worker = worker
        self._alive = alive
        self._closed = threading.Event()
        self._news = threading.Event()
        self._board = Board(self._news.set)
        self._streams: dict[Place, Stream] = {}
        self._clusters: dict[UUID, _Cluster] = {}
        self._planned: set[Place] = set()
        self._refused: dict[Place, float] = {}
        self._states: dict[Place, State] = {}
        self._told_at: dict[UUID, datetime] = {}
        self._fresh: set[UUID] = set()
        self._queue: dict[UUID, None] = {}
        self._woken: dict[UUID, float] = {}
        self._last_read = self._next_plan = self._next_whole = 0.0
        self._has_failed = False

    def run(self) -> None:
        """Watch until closed; nothing that goes wrong ends it before."""
        while not self._closed.is_set():
            try:
                if self._has_failed:
                    self._begin_anew()
                self.look()
            except AnyDatabaseError as error:
                logger.error("The watches cannot reach the database (%s).", error)
                self._pause()
            except Exception:
                # The outermost loop of this thread: without it all tasks would sleep too long.
                logger.exception("The watches failed; they are begun anew.")
                self._pause()
            busy = self._queue or self._fresh
            self._news.wait(ROUND_SECONDS if busy else READ_SECONDS)
            self._news.clear()
        self._end_streams(list(self._streams))
        connection.close()

    def close(self) -> None:
        """End every watch, from any thread."""
        self._closed.set()
        self._news.set()
        for stream in list(self._streams.values()):
            stream.end()

    def look(self) -> None:
        """One round: who waits for what, what has to be watched, who is to be woken."""
        now = time.monotonic()
        if now >= self._next_whole:
            self._read_all()
            self._next_whole, self._last_read = now + WHOLE_SECONDS, now
        elif now >= self._last_read + READ_SECONDS:
            self._read_new(now)
            self._last_read = now
        if now >= self._next_plan or not self._board.needs() <= self._planned:
            self._next_plan = now + PLAN_SECONDS
            self._plan(now)
        self._compare()
        self._wake(now)
        self._rest()

    def _pause(self) -> None:
        self._has_failed = True
        self._closed.wait(AGAIN_SECONDS)

    def _begin_anew(self) -> None:
        connection.close()
        self._next_whole = 0.0
        # Whoever was about to be woken or covered when it failed has not been.
        self._fresh |= self._board.tasks()
        self._has_failed = False

    def _rest(self) -> None:
        """Give the connection back to the pool of this process, where there is one."""
        if connection.vendor != "sqlite":
            connection.close()

    # What the tasks wait for

    def _read_all(self) -> None:
        # Without the index of tasks that sleep a database reads every task there ever was.
        waiting = _waiting().filter(task__wake_at__isnull=False)
        found = dict(waiting.values_list("pk", "told_at"))
        gone = list(self._told_at.keys() - found.keys())
        for task in gone:
            self._board.drop(task)
            self._woken.pop(task, None)
        self._wake_forsaken(gone)
        self._take(found)
        self._told_at = found

    def _wake_forsaken(self, gone: list[UUID]) -> None:
        """Wake those whose watch went with its endpoint, in the middle of a long sleep."""
        for first in range(0, len(gone), CHUNK):
            chunk = TaskRun.objects.filter(pk__in=gone[first : first + CHUNK])
            asleep = chunk.filter(status=Status.RUNNING, rollout_watch__isnull=True)
            for task in asleep.values_list("pk", flat=True):
                wake(TaskRun, task)

    def _read_new(self, now: float) -> None:
        since = timedelta(seconds=now - self._last_read) + OVERLAP
        rows = _waiting().filter(told_at__gte=database_now(plus=-since))
        found = dict(rows.values_list("pk", "told_at"))
        self._take(found)
        self._told_at |= found

    def _take(self, found: dict[UUID, datetime]) -> None:
        """Read what is new among the rows."""
        self._read([task for task, told in found.items() if self._told_at.get(task) != told])

    def _read(self, tasks: list[UUID]) -> None:
        for first in range(0, len(tasks), CHUNK):
            rows = RolloutWatch.objects.filter(pk__in=tasks[first : first + CHUNK])
            for row in rows.values_list("pk", "endpoint_id", "sights", "is_covered"):
                task, endpoint, sights, is_covered = row
                seen = tuple(Sight(*each) for each in sights)
                self._board.put(task, Waiting(endpoint, seen, is_covered))
                self._fresh.add(task)

    # What is watched

    def _plan(self, now: float) -> None:
        self._refused = {place: end for place, end in self._refused.items() if end > now}
        self._planned = self._board.needs()
        mine = self._fallen_to_me({need.endpoint for need in self._planned})
        self._sign_in(mine)
        needs = {need for need in self._planned if need.endpoint in mine}
        clients = {key: each.client for key, each in self._clusters.items() if each.client}
        wanted = {need for need in needs if need.endpoint in clients}
        self._board.served = planned(wanted, self._refused, self._streams)
        places = {place for place in self._board.served.values() if place is not None}
        self._end_streams(self._streams.keys() - places)
        for place in places - self._streams.keys():
            stream = Stream(clients[place.endpoint], place, self._board)
            # One that cannot start, where there are too many threads, is tried again.
            stream.start()
            self._streams[place] = stream
        self._states = {need: self._states.get(need, State.PENDING) for need in needs}

    def _fallen_to_me(self, endpoints: set[UUID]) -> set[UUID]:
        """Those whose clusters this worker is to watch. Workers of another release may know
        nothing of watches and do not count.
        """
        if not endpoints:
            return endpoints
        others = Worker.objects.filter(pk__in=self._alive(), release=RELEASE)
        workers = {*others.values_list("pk", flat=True), self._worker}
        return {each for each in endpoints if watcher_of(each, workers) == self._worker}

    def _sign_in(self, endpoints: Collection[UUID]) -> None:
        """Have a client for each endpoint as it is now; what was watched with another one ends."""
        rows = Endpoint.objects.filter(pk__in=endpoints).values_list("pk", "updated_at")
        current = dict(rows) if endpoints else {}
        for key, cluster in list(self._clusters.items()):
            if current.get(key) != cluster.updated_at:
                del self._clusters[key]
                self._end_streams([place for place in self._streams if place.endpoint == key])
                self._refused = {p: end for p, end in self._refused.items() if p.endpoint != key}
        for key in current.keys() - self._clusters.keys():
            self._clusters[key] = _signed_in(key, current[key])

    def _end_streams(self, places: Iterable[Place]) -> None:
        for place in list(places):
            self._streams.pop(place).end()
            self._board.forget(place)

    # Who is woken

    def _compare(self) -> None:
        """Queue the tasks that have something to see, and those whose watch is lost."""
        states = {need: self._state(need) for need in self._states}
        changed = {need for need, state in states.items() if state is not self._states[need]}
        for need in changed:
            self._tell(need, self._states[need], states[need])
        # Another worker may have covered its tasks, or taken that back, since they were read.
        self._read(list(set().union(*map(self._board.needing, changed))))
        self._states = states
        self._note_refusals()
        covered = []
        for task in self._fresh | self._board.told():
            waiting = self._board.waiting(task)
            if waiting is None or not waiting.needs <= states.keys():
                continue
            state = self._board.state_of(task, states)
            if state is State.LIVE and not waiting.is_covered:
                covered.append(task)
            if self._is_to_be_woken(task):
                self._queue.setdefault(task)
        self._fresh.clear()
        self._cover(covered)

    def _note_refusals(self) -> None:
        """Leave alone for a while what may not be watched."""
        for place, stream in self._streams.items():
            if stream.is_refused and place not in self._refused:
                words = "Endpoint %s: %s cannot be watched, its tasks look by themselves: %s"
                logger.warning(words, self._name(place), place, stream.reason)
                self._refused[place] = time.monotonic() + REFUSED_SECONDS
                self._next_plan = 0.0

    def _name(self, place: Place) -> str:
        cluster = self._clusters.get(place.endpoint)
        return cluster.name if cluster else str(place.endpoint)

    def _state(self, need: Place) -> State:
        place = self._board.served.get(need)
        stream = self._streams.get(place) if place else None
        return stream.state() if stream else State.DOWN

    def _tell(self, need: Place, before: State, state: State) -> None:
        place = self._board.served.get(need)
        stream = self._streams.get(place) if place else None
        if state is State.DOWN and stream is not None and not stream.is_refused:
            words = "Endpoint %s: no watch on %s, its tasks look by themselves: %s"
            logger.warning(words, self._name(need), need, stream.reason)
        elif state is State.LIVE and before is State.DOWN:
            logger.info("Endpoint %s: %s is watched again.", self._name(need), need)

    def _is_to_be_woken(self, task: UUID) -> bool:
        waiting, state = self._board.waiting(task), self._board.state_of(task, self._states)
        if waiting is None or state is State.PENDING:
            return False
        return waiting.is_covered if state is State.DOWN else self._board.has_news(task)

    def _cover(self, tasks: list[UUID]) -> None:
        for first in range(0, len(tasks), CHUNK):
            chunk = tasks[first : first + CHUNK]
            RolloutWatch.objects.filter(pk__in=chunk).update(is_covered=True)
            for task in chunk:
                if waiting := self._board.waiting(task):
                    waiting.is_covered = True

    def _wake(self, now: float) -> None:
        """Wake some of the queue: what has seen all by now, or was woken just now, is left out."""
        ready = (task for task in self._queue if now - self._woken.get(task, 0.0) >= GAP_SECONDS)
        chosen = list(islice(ready, MOST_AT_ONCE))
        for task in chosen:
            del self._queue[task]
        chosen = [task for task in chosen if self._is_to_be_woken(task)]
        if not chosen:
            return
        # In no order: theirs would be read, and locked, from what they belong to.
        rows = TaskRun.objects.filter(pk__in=chosen).order_by()
        with transaction.atomic():
            # The task's row first, as its steps do, and none that somebody holds: who holds one of
            # these may wait for another.
            free = set(
                rows.select_for_update(no_key=True, skip_locked=True).values_list("pk", flat=True)
            )
            lost = [task for task in free if self._is_lost(task)]
            if lost:
                RolloutWatch.objects.filter(pk__in=lost).update(is_covered=False)
            wake_all(TaskRun.objects.filter(pk__in=free, status=Status.RUNNING))
            for task in free:
                announce(TaskRun, task)
        self._queue |= dict.fromkeys(task for task in chosen if task not in free)
        for task in free:
            self._woken[task] = now
        for task in lost:
            if waiting := self._board.waiting(task):
                waiting.is_covered = False

    def _is_lost(self, task: UUID) -> bool:
        return self._board.state_of(task, self._states) is State.DOWN


def _signed_in(key: UUID, updated_at: datetime) -> _Cluster:
    """The endpoint with its client; one that cannot be had does not keep the others from theirs."""
    name, client = str(key), None
    try:
        endpoint = Endpoint.objects.get(pk=key)
        name = endpoint.name
        client = shared_client(cluster_access(endpoint))
    except (CodeStreamError, Endpoint.DoesNotExist) as error:
        logger.warning("Endpoint %s cannot be watched: %s", name, error)
    return _Cluster(name=name, updated_at=updated_at, client=client)


def _waiting() -> QuerySet[RolloutWatch]:
    return RolloutWatch.objects.filter(task__status=Status.RUNNING)


def watcher_of(endpoint: UUID, workers: Iterable[UUID]) -> UUID:
    """Which of the workers watches the cluster: all of them come to the same answer by themselves,
    and who comes or goes takes only what falls to it.
    """
    return max(workers, key=lambda worker: _lot(worker, endpoint))


def _lot(worker: UUID, endpoint: UUID) -> bytes:
    return hashlib.blake2b(worker.bytes + endpoint.bytes, digest_size=8).digest()


def planned(
    needs: Iterable[Place], refused: Collection[Place], running: Collection[Place]
) -> dict[Place, Place | None]:
    """Which place is watched for each that is needed; None where none may be, or too many are.

    Each namespace has its own watch, which needs the least rights, unless there are many.
    """
    kinds: dict[Place, set[Place]] = {}
    for need in needs:
        kinds.setdefault(need._replace(namespace=""), set()).add(need)
    chosen: dict[Place, Place | None] = {}
    for everywhere, among in kinds.items():
        is_wide = len(among) > FEW_NAMESPACES and everywhere not in refused
        for need in among:
            place = everywhere if is_wide else need
            chosen[need] = None if place in refused else place
    places = {place for place in chosen.values() if place is not None}
    ordered = sorted(places, key=lambda place: (place not in running, place))
    kept = set(ordered[:MOST_STREAMS])
    return {need: place if place in kept else None for need, place in chosen.items()}
