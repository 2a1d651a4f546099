"""The objects of the stand-in cluster, their history for watches, and the file they are kept in.

A stored body is never changed, only replaced: what ``get`` gives is a copy to change, what the
other methods give is to be read. Rules about what may be stored are left to the API.
"""

from __future__ import annotations

import copy
import secrets
import threading
import uuid
from collections import defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from codestream.sandbox.kubernetes_resources import NAMESPACES, RESOURCES, Body, Resource, Target
from codestream.sandbox.state_file import StateFile

HISTORY = 2000
FIRST_NAMESPACES = ("default", "kube-system")
NAME_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """One change: ``kind`` is ADDED, MODIFIED or DELETED."""

    revision: int
    kind: str
    target: Target
    body: Body


class Store:
    """A cluster's objects by resource, namespace and name, under one lock."""

    def __init__(self, file: StateFile) -> None:
        self.lock = threading.RLock()
        self._changed = threading.Condition(self.lock)
        self._file = file
        self._objects: dict[str, dict[Target, Body]] = {r.name: {} for r in RESOURCES}
        self._owned: defaultdict[str, dict[Target, None]] = defaultdict(dict)
        self._history: deque[Happening] = deque(maxlen=HISTORY)
        self.revision = 0
        self._saved = 0
        self._closed = False
        self._load()
        self._first_revision = self.revision

    def get(self, target: Target) -> Body | None:
        """A copy of one object, to change and put back."""
        with self.lock:
            return copy.deepcopy(self._objects[target.resource.name].get(target))

    def every(self, resource: Resource, namespace: str = "") -> list[Body]:
        """All objects of a resource, by namespace and name."""
        with self.lock:
            objects = self._objects[resource.name]
            found = [target for target in objects if namespace in ("", target.namespace)]
            found.sort(key=lambda target: (target.namespace, target.name))
            return [objects[target] for target in found]

    def owned(self, resource: Resource, uid: str) -> list[Body]:
        """The objects of a resource that name this owner, the oldest first."""
        with self.lock:
            objects = self._objects[resource.name]
            return [objects[target] for target in self._owned[uid] if target in objects]

    def put(self, target: Target, body: Body) -> Body:
        """Store an object; one that is equal to what is there changes nothing."""
        with self.lock:
            before = self._objects[target.resource.name].get(target)
            if before is not None and _content(before) == _content(body):
                return before
            body = copy.deepcopy(body)
            self._stamp(target, body, before)
            self._keep(target, body)
            self._note("ADDED" if before is None else "MODIFIED", target, body)
            return body

    def remove(self, target: Target) -> Body | None:
        """Take an object away; the body it had, or None."""
        with self.lock:
            body = self._objects[target.resource.name].pop(target, None)
            if body is None:
                return None
            for owner in body["metadata"].get("ownerReferences", []):
                self._owned[owner["uid"]].pop(target, None)
            gone = copy.deepcopy(body)
            self._stamp_revision(gone)
            self._note("DELETED", target, gone)
            return gone

    def save(self) -> None:
        """Write the file if anything changed since the last time."""
        with self.lock:
            if self._saved == self.revision:
                return
            objects = [
                [name, body] for name, bodies in self._objects.items() for body in bodies.values()
            ]
            self._file.save({"revision": self.revision, "objects": objects})
            self._saved = self.revision

    def wait(self, after: int, seconds: float) -> list[Happening]:
        """What happened after a revision; waits up to ``seconds`` while that is nothing."""
        with self._changed:
            if self.revision <= after and not self._closed:
                self._changed.wait(seconds)
            return [happening for happening in self._history if happening.revision > after]

    def remembers(self, revision: int) -> bool:
        """Whether everything after this revision is still in the history."""
        with self.lock:
            if len(self._history) < HISTORY:
                return revision >= self._first_revision
            return revision >= self._history[0].revision - 1

    @property
    def closed(self) -> bool:
        """Whether the cluster stops: watches end."""
        return self._closed

    def close(self) -> None:
        """End every wait and write the file."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            self.save()

    def _stamp(self, target: Target, body: Body, before: Body | None) -> None:
        meta = body.setdefault("metadata", {})
        old = before["metadata"] if before else {}
        meta["name"] = target.name
        if target.namespace:
            meta["namespace"] = target.namespace
        meta["uid"] = old.get("uid") or str(uuid.uuid4())
        meta["creationTimestamp"] = old.get("creationTimestamp") or now()
        if target.resource.counts_generations:
            grown = before is not None and before.get("spec") != body.get("spec")
            meta["generation"] = old.get("generation", 1) + grown
        self._stamp_revision(body)

    def _stamp_revision(self, body: Body) -> None:
        self.revision += 1
        body["metadata"]["resourceVersion"] = str(self.revision)

    def _keep(self, target: Target, body: Body) -> None:
        self._objects[target.resource.name][target] = body
        for owner in body["metadata"].get("ownerReferences", []):
            self._owned[owner["uid"]][target] = None

    def _note(self, kind: str, target: Target, body: Body) -> None:
        happening = Happening(revision=self.revision, kind=kind, target=target, body=body)
        self._history.append(happening)
        self._changed.notify_all()

    def _load(self) -> None:
        kept: Any = self._file.load()
        if kept is None:
            for name in FIRST_NAMESPACES:
                target = Target(resource=NAMESPACES, name=name)
                self.put(target, new_namespace(name))
            return
        for target, body in _targets(kept["objects"]):
            self._keep(target, body)
        self.revision = self._saved = kept["revision"]


def new_namespace(name: str) -> Body:
    """A namespace as the server completes it."""
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name}},
        "spec": {"finalizers": ["kubernetes"]},
        "status": {"phase": "Active"},
    }


def target_of(resource: Resource, body: Body) -> Target:
    """The place of a stored object."""
    meta = body["metadata"]
    return Target(resource=resource, namespace=meta.get("namespace", ""), name=meta["name"])


def now() -> str:
    """The present time as Kubernetes writes it: UTC, whole seconds."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def random_suffix() -> str:
    """Five letters and digits for a generated name."""
    return "".join(secrets.choice(NAME_ALPHABET) for _ in range(5))


def _targets(rows: list[list[Any]]) -> Iterator[tuple[Target, Body]]:
    by_name = {resource.name: resource for resource in RESOURCES}
    for name, body in rows:
        yield target_of(by_name[name], body), body


def _content(body: Body) -> Body:
    """What makes two versions different: all but the version and the times of managers."""
    meta = {
        key: value
        for key, value in body["metadata"].items()
        if key not in ("resourceVersion", "uid", "creationTimestamp", "generation")
    }
    managers = [entry | {"time": ""} for entry in meta.get("managedFields", [])]
    return body | {"metadata": meta | {"managedFields": managers}}
