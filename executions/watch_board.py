"""Who waits for what in which cluster, and what the watches know of it.

Pure: no database, no wire. Threads of watches tell it what they hear, one thread asks it which
tasks have something new to see. It keeps versions and no objects.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import NamedTuple, TypeVar
from uuid import UUID

from endpoints.clients.kubernetes_marks import DELETED, Mark, includes_pods, pod_digest, sight
from executions.runners.base import Sight

POD = ("v1", "Pod")
Key = TypeVar("Key")


class Place(NamedTuple):
    """A collection of a cluster, by its endpoint: the objects of a kind in one namespace, or in all
    of them where ``namespace`` is empty.
    """

    endpoint: UUID
    api_version: str
    kind: str
    namespace: str

    def __str__(self) -> str:
        where = f"namespace {self.namespace}" if self.namespace else "the whole cluster"
        return f"{self.kind} in {where}"


class State(Enum):
    """How the watch on a place stands; PENDING is not yet known to be either."""

    LIVE = auto()
    PENDING = auto()
    DOWN = auto()


Named = tuple[str, str]
"""Namespace and name."""
Workload = tuple[str, str, str]
"""Kind, namespace and name of what pods belong to."""


@dataclass(frozen=True, slots=True)
class Changed:
    """The objects and the workloads of which a collection knows something new."""

    objects: frozenset[Named] = frozenset()
    workloads: frozenset[Workload] = frozenset()


class Collection:
    """The versions of the objects of one place, and for each workload the digest of its pods."""

    def __init__(self) -> None:
        self._marks: dict[Named, Mark] = {}
        self._pods: dict[Workload, int] = {}

    def version(self, namespace: str, name: str) -> str:
        """Empty where the object is not there."""
        mark = self._marks.get((namespace, name))
        return mark.version if mark else ""

    def pods(self, workload: Workload) -> int:
        """The digest of its pods, 0 where there is none."""
        return self._pods.get(workload, 0)

    def replace(self, marks: Iterable[Mark]) -> Changed:
        """Take what a list found, and return what was not known."""
        found = {(mark.namespace, mark.name): mark for mark in marks}
        gone = [self._marks[named] for named in self._marks.keys() - found.keys()]
        news = [mark for named, mark in found.items() if self._marks.get(named) != mark]
        told = [self.put(mark) for mark in news] + [self.remove(mark) for mark in gone]
        return Changed(
            frozenset().union(*(each.objects for each in told)),
            frozenset().union(*(each.workloads for each in told)),
        )

    def hear(self, kind: str, mark: Mark) -> Changed:
        """Take one event of a watch."""
        return self.remove(mark) if kind == DELETED else self.put(mark)

    def put(self, mark: Mark) -> Changed:
        """Take a new or changed object."""
        named = (mark.namespace, mark.name)
        before = self._marks.get(named)
        if before == mark:
            return Changed()
        self._marks[named] = mark
        workloads = {self._count(each) for each in (before, mark) if each and each.workload}
        return Changed(frozenset({named}), frozenset(workloads))

    def remove(self, mark: Mark) -> Changed:
        """Forget an object; the version that tells of its end is none it ever had."""
        named = (mark.namespace, mark.name)
        before = self._marks.pop(named, None)
        if before is None:
            return Changed()
        workloads = {self._count(before)} if before.workload else set()
        return Changed(frozenset({named}), frozenset(workloads))

    def _count(self, pod: Mark) -> Workload:
        """Count a pod in, or out again, which is the same."""
        kind, name = pod.workload or ("", "")
        workload = (kind, pod.namespace, name)
        digest = self._pods.get(workload, 0) ^ pod_digest(pod.name, pod.version)
        if digest:
            self._pods[workload] = digest
        else:
            self._pods.pop(workload, None)
        return workload


@dataclass(slots=True)
class Waiting:
    """A task that waits. ``is_covered`` is what its row says."""

    endpoint: UUID
    sights: tuple[Sight, ...]
    is_covered: bool
    needs: frozenset[Place] = field(init=False)

    def __post_init__(self) -> None:
        needs = set()
        for each in self.sights:
            needs.add(Place(self.endpoint, each.api_version, each.kind, each.namespace))
            if includes_pods(each.seen):
                needs.add(Place(self.endpoint, *POD, each.namespace))
        self.needs = frozenset(needs)


class Board:
    """The tasks that wait, and what is known in the places they need.

    ``served`` says which place is watched for the sake of a needed one: itself, the whole cluster,
    or none. ``news`` is called, from any thread, when ``told`` has something to give.
    """

    def __init__(self, news: Callable[[], None]) -> None:
        self._lock = threading.Lock()
        self._news = news
        self._tasks: dict[UUID, Waiting] = {}
        self._by_need: defaultdict[Place, set[UUID]] = defaultdict(set)
        self._by_object: defaultdict[tuple[Place, str], set[UUID]] = defaultdict(set)
        self._by_workload: defaultdict[tuple[UUID, Workload], set[UUID]] = defaultdict(set)
        self._collections: defaultdict[Place, Collection] = defaultdict(Collection)
        self._told: set[UUID] = set()
        self.served: dict[Place, Place | None] = {}

    def put(self, task: UUID, waiting: Waiting) -> None:
        """A task waits, or waits for something else, or has seen something else."""
        with self._lock:
            self._drop(task)
            self._tasks[task] = waiting
            for need in waiting.needs:
                self._by_need[need].add(task)
            for key in _objects(waiting):
                self._by_object[key].add(task)
            for workload in _workloads(waiting):
                self._by_workload[workload].add(task)

    def drop(self, task: UUID) -> None:
        """A task waits no more."""
        with self._lock:
            self._drop(task)

    def waiting(self, task: UUID) -> Waiting | None:
        """What the task waits for."""
        return self._tasks.get(task)

    def tasks(self) -> set[UUID]:
        """Every task that waits."""
        return set(self._tasks)

    def needs(self) -> set[Place]:
        """Every place that some task needs."""
        with self._lock:
            return set(self._by_need)

    def needing(self, need: Place) -> set[UUID]:
        """The tasks that need a place."""
        return set(self._by_need.get(need, ()))

    def listed(self, place: Place, marks: Iterable[Mark]) -> None:
        """A watch has begun by a list."""
        with self._lock:
            changed = self._collections[place].replace(marks)
            self._note(place, changed)
        if self._told:
            self._news()

    def heard(self, place: Place, kind: str, mark: Mark) -> None:
        """A watch has heard of a change."""
        with self._lock:
            self._note(place, self._collections[place].hear(kind, mark))
        if self._told:
            self._news()

    def forget(self, place: Place) -> None:
        """A place is watched no more."""
        with self._lock:
            self._collections.pop(place, None)

    def told(self) -> set[UUID]:
        """The tasks that watches have told something about, each given once."""
        with self._lock:
            told, self._told = self._told, set()
            return told

    def has_news(self, task: UUID) -> bool:
        """Whether the task has not seen yet what the watches know."""
        with self._lock:
            waiting = self._tasks.get(task)
            return waiting is not None and any(
                self._known(waiting.endpoint, each) != each.seen for each in waiting.sights
            )

    def state_of(self, task: UUID, states: dict[Place, State]) -> State:
        """How the watches stand that the task needs: as the worst of them."""
        waiting = self._tasks.get(task)
        found = {states.get(need, State.DOWN) for need in waiting.needs} if waiting else set()
        worst = (state for state in (State.DOWN, State.PENDING) if state in found)
        return next(worst, State.LIVE)

    def _known(self, endpoint: UUID, wanted: Sight) -> str:
        version = self._serving(Place(endpoint, *wanted[:3])).version(wanted.namespace, wanted.name)
        if not includes_pods(wanted.seen):
            return sight(version)
        pods = self._serving(Place(endpoint, *POD, wanted.namespace))
        return sight(version, pods.pods((wanted.kind, wanted.namespace, wanted.name)))

    def _serving(self, need: Place) -> Collection:
        place = self.served.get(need)
        return self._collections.get(place, _NOTHING) if place else _NOTHING

    def _note(self, place: Place, changed: Changed) -> None:
        for namespace, name in changed.objects:
            need = place._replace(namespace=namespace)
            self._told |= self._by_object.get((need, name), set())
        for workload in changed.workloads:
            self._told |= self._by_workload.get((place.endpoint, workload), set())

    def _drop(self, task: UUID) -> None:
        waiting = self._tasks.pop(task, None)
        if waiting is None:
            return
        for need in waiting.needs:
            _discard(self._by_need, need, task)
        for key in _objects(waiting):
            _discard(self._by_object, key, task)
        for workload in _workloads(waiting):
            _discard(self._by_workload, workload, task)


_NOTHING = Collection()


def _objects(waiting: Waiting) -> list[tuple[Place, str]]:
    return [(Place(waiting.endpoint, *each[:3]), each.name) for each in waiting.sights]


def _workloads(waiting: Waiting) -> list[tuple[UUID, Workload]]:
    return [
        (waiting.endpoint, (each.kind, each.namespace, each.name))
        for each in waiting.sights
        if includes_pods(each.seen)
    ]


def _discard(index: dict[Key, set[UUID]], key: Key, task: UUID) -> None:
    index[key].discard(task)
    if not index[key]:
        del index[key]
