"""The Deployment controller of the stand-in: replica sets, scaling and the status counters.

One call looks at what is there and takes the next step; pods are left to ``kubernetes_cluster``.
Pods of the new template are added one by one, and an old one goes for each that is ready.
"""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass
from typing import Any

from codestream.sandbox.kubernetes_events import emit
from codestream.sandbox.kubernetes_pods import is_ready
from codestream.sandbox.kubernetes_resources import DEPLOYMENTS, PODS, REPLICA_SETS, Body
from codestream.sandbox.kubernetes_store import NAME_ALPHABET, Store, now, target_of

REVISION = "deployment.kubernetes.io/revision"
DESIRED = "deployment.kubernetes.io/desired-replicas"
HASH = "pod-template-hash"


@dataclass(frozen=True, slots=True, kw_only=True)
class Revisions:
    """The replica sets of one Deployment: the one of the present template, and the older ones."""

    current: Body
    old: list[Body]


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """Numbers of pods."""

    desired: int
    total: int
    updated: int
    ready: int
    ready_updated: int

    @property
    def complete(self) -> bool:
        """Whether all pods are of the present template and ready, and no other is left."""
        return self.ready_updated == self.updated == self.total == self.desired


class DeploymentController:
    """Drives every Deployment towards its spec."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._progress: dict[str, tuple[Counters, int, float]] = {}

    def step(self) -> None:
        """Take one step for each Deployment."""
        for deployment in self._store.every(DEPLOYMENTS):
            if not deployment["spec"].get("paused"):
                self._step(deployment)

    def _step(self, deployment: Body) -> None:
        revisions = self._revisions(deployment)
        self._scale(deployment, revisions)
        self._forget_old(deployment, revisions)
        self._write_status(deployment, self._count(deployment, revisions))

    def _revisions(self, deployment: Body) -> Revisions:
        """The replica sets, the present one made or made newest if need be."""
        owned = self._store.owned(REPLICA_SETS, deployment["metadata"]["uid"])
        owned.sort(key=_revision)
        wanted = template_hash(deployment)
        current = next((b for b in owned if b["metadata"]["labels"].get(HASH) == wanted), None)
        old = [body for body in owned if body is not current]
        newest = max((_revision(body) for body in old), default=0)
        if current is None:
            current = self._put(_new_replica_set(deployment, wanted, newest + 1))
        elif _revision(current) <= newest:
            current = self._put(_annotated(current, REVISION, newest + 1))
        return Revisions(current=current, old=old)

    def _scale(self, deployment: Body, revisions: Revisions) -> None:
        desired = deployment["spec"]["replicas"]
        ready = self._ready(revisions.current)
        room = max(desired - ready, 0)
        if deployment["spec"]["strategy"]["type"] == "Recreate":
            room = 0
        # A pod that is not ready serves nobody; of the others the newest stay longest.
        for body in reversed(revisions.old):
            kept = min(body["spec"]["replicas"], room, self._ready(body))
            room -= kept
            self._set_replicas(deployment, body, kept)
        left = any(self._pods(body) for body in revisions.old)
        waits = left and deployment["spec"]["strategy"]["type"] == "Recreate"
        self._set_replicas(deployment, revisions.current, 0 if waits else min(desired, ready + 1))

    def _set_replicas(self, deployment: Body, body: Body, replicas: int) -> None:
        before = body["spec"]["replicas"]
        told = _annotated(body, DESIRED, deployment["spec"]["replicas"])
        self._put(told | {"spec": body["spec"] | {"replicas": replicas}})
        if before != replicas:
            word = "up" if replicas > before else "down"
            message = f"Scaled {word} replica set {body['metadata']['name']} to {replicas}"
            emit(self._store, deployment, "ScalingReplicaSet", message)

    def _forget_old(self, deployment: Body, revisions: Revisions) -> None:
        empty = [body for body in revisions.old if not self._pods(body)]
        surplus = len(empty) - deployment["spec"]["revisionHistoryLimit"]
        for body in empty[: max(surplus, 0)]:
            self._store.remove(target_of(REPLICA_SETS, body))

    def _count(self, deployment: Body, revisions: Revisions) -> Counters:
        updated = self._pods(revisions.current)
        old = [pod for body in revisions.old for pod in self._pods(body)]
        ready_updated = sum(map(is_ready, updated))
        return Counters(
            desired=deployment["spec"]["replicas"],
            total=len(updated) + len(old),
            updated=len(updated),
            ready=ready_updated + sum(map(is_ready, old)),
            ready_updated=ready_updated,
        )

    def _write_status(self, deployment: Body, counters: Counters) -> None:
        """Write the counters onto the latest body, unless its spec has changed meanwhile."""
        target = target_of(DEPLOYMENTS, deployment)
        with self._store.lock:
            latest = self._store.get(target)
            if latest is None or latest["metadata"]["generation"] != _generation(deployment):
                return
            late = self._is_late(latest, counters)
            latest["status"] = _status(latest, counters, late=late)
            annotations = latest["metadata"].setdefault("annotations", {})
            annotations[REVISION] = self._newest_revision(latest)
            self._store.put(target, latest)

    def _newest_revision(self, deployment: Body) -> str:
        owned = self._store.owned(REPLICA_SETS, deployment["metadata"]["uid"])
        return str(max(map(_revision, owned), default=1))

    def _is_late(self, deployment: Body, counters: Counters) -> bool:
        """Whether nothing moved for ``progressDeadlineSeconds``."""
        uid, generation = deployment["metadata"]["uid"], _generation(deployment)
        present = time.monotonic()
        before = self._progress.get(uid)
        if before is None or before[:2] != (counters, generation):
            self._progress[uid] = (counters, generation, present)
            return False
        waited = present - before[2]
        return not counters.complete and waited > deployment["spec"]["progressDeadlineSeconds"]

    def _pods(self, replica_set: Body) -> list[Body]:
        return self._store.owned(PODS, replica_set["metadata"]["uid"])

    def _ready(self, replica_set: Body) -> int:
        return sum(map(is_ready, self._pods(replica_set)))

    def _put(self, body: Body) -> Body:
        return self._store.put(target_of(REPLICA_SETS, body), body)


def owner_reference(owner: Body) -> Body:
    """The reference that makes ``owner`` the controller of another object."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def template_hash(deployment: Body) -> str:
    """The same short word for the same pod template."""
    template = json.dumps(deployment["spec"]["template"], sort_keys=True)
    digest = hashlib.sha256(template.encode()).digest()
    return "".join(NAME_ALPHABET[byte % len(NAME_ALPHABET)] for byte in digest[:10])


def _new_replica_set(deployment: Body, wanted: str, revision: int) -> Body:
    meta = deployment["metadata"]
    template = json.loads(json.dumps(deployment["spec"]["template"]))
    template["metadata"]["labels"][HASH] = wanted
    labels = deployment["spec"]["selector"]["matchLabels"] | {HASH: wanted}
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{meta['name']}-{wanted}",
            "namespace": meta["namespace"],
            "labels": template["metadata"]["labels"],
            "annotations": {REVISION: str(revision)},
            "ownerReferences": [owner_reference(deployment)],
        },
        "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": template},
        "status": {"replicas": 0},
    }


def _status(deployment: Body, counters: Counters, *, late: bool) -> Body:
    status = {
        "observedGeneration": _generation(deployment),
        "replicas": counters.total,
        "updatedReplicas": counters.updated,
        "readyReplicas": counters.ready,
        "availableReplicas": counters.ready,
        "unavailableReplicas": max(counters.desired - counters.ready, 0),
    }
    # The real API leaves a counter of zero out.
    told: Body = {name: number for name, number in status.items() if number}
    before = deployment.get("status", {}).get("conditions", [])
    told["conditions"] = [
        _dated(condition, before) for condition in _conditions(deployment, counters, late)
    ]
    return told


def _conditions(deployment: Body, counters: Counters, late: bool) -> list[Body]:
    # maxUnavailable of 25 %, rounded down, as the real default.
    available = counters.ready >= counters.desired - counters.desired // 4
    name = f"{deployment['metadata']['name']}-{template_hash(deployment)}"
    if counters.complete:
        progress = ("NewReplicaSetAvailable", f'ReplicaSet "{name}" has successfully progressed.')
    elif late:
        progress = ("ProgressDeadlineExceeded", f'ReplicaSet "{name}" has timed out progressing.')
    else:
        progress = ("ReplicaSetUpdated", f'ReplicaSet "{name}" is progressing.')
    return [
        {
            "type": "Available",
            "status": str(available),
            "reason": f"MinimumReplicas{'A' if available else 'Una'}vailable",
            "message": f"Deployment {'has' if available else 'lacks'} minimum availability.",
        },
        {
            "type": "Progressing",
            "status": str(counters.complete or not late),
            "reason": progress[0],
            "message": progress[1],
        },
    ]


def _dated(condition: Body, before: list[Any]) -> Body:
    """The condition with its times, which stay while nothing changes."""
    old: Body = next((item for item in before if item["type"] == condition["type"]), {})
    if condition.items() <= old.items():
        return dict(old)
    turned = old.get("status") != condition["status"]
    at = now()
    return condition | {
        "lastUpdateTime": at,
        "lastTransitionTime": at if turned else old["lastTransitionTime"],
    }


def _annotated(body: Body, name: str, value: int) -> Body:
    """A copy of the body with one more annotation."""
    meta = body["metadata"]
    annotations = meta["annotations"] | {name: str(value)}
    return body | {"metadata": meta | {"annotations": annotations}}


def _generation(body: Body) -> int:
    return int(body["metadata"]["generation"])


def _revision(replica_set: Body) -> int:
    return int(replica_set["metadata"]["annotations"][REVISION])
