"""What lives in the stand-in cluster beside the API: one loop that moves everything a step.

It turns replica sets into pods, lets pods grow up, removes what has lost its owner, and empties
namespaces that are going away. Deployments are left to ``kubernetes_rollout``.
"""

from __future__ import annotations

import json
import threading
import time

from codestream.sandbox.kubernetes_events import emit
from codestream.sandbox.kubernetes_pods import (
    event_of,
    is_ready,
    is_settled,
    pod_status,
    waiting_reason,
)
from codestream.sandbox.kubernetes_resources import (
    DEPLOYMENTS,
    NAMESPACES,
    PODS,
    REPLICA_SETS,
    RESOURCES,
    Body,
)
from codestream.sandbox.kubernetes_rollout import (
    DESIRED,
    DeploymentController,
    owner_reference,
)
from codestream.sandbox.kubernetes_store import Store, random_suffix, target_of

STEPS_PER_ROLLOUT = 20
SHORTEST_PAUSE = 0.02
IDLE_SECONDS = 0.5


class Cluster:
    """The controllers, on a thread of their own while there is something to do.

    ``rollout_seconds`` is about how long all pods of one rollout take, and how long a namespace
    stays Terminating.
    """

    def __init__(self, store: Store, *, rollout_seconds: float) -> None:
        self._store = store
        self._seconds = rollout_seconds
        self._deployments = DeploymentController(store)
        self._first_seen: dict[str, float] = {}
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin; ends when the store is closed."""
        self._thread.start()

    def join(self) -> None:
        """Wait for the end."""
        self._thread.join()

    def step(self) -> bool:
        """Move everything one step; whether the passing of time alone will change something."""
        with self._store.lock:
            leaving = self._empty_namespaces()
            self._deployments.step()
            for replica_set in self._store.every(REPLICA_SETS):
                self._fill(replica_set)
            growing = [pod for pod in self._store.every(PODS) if not is_settled(pod)]
            for pod in growing:
                self._grow(pod)
            self._collect_orphans()
            self._store.save()
        return leaving or bool(growing)

    def _run(self) -> None:
        pause = min(max(self._seconds / STEPS_PER_ROLLOUT, SHORTEST_PAUSE), IDLE_SECONDS)
        while not self._store.closed:
            before = self._store.revision
            if self.step() or self._store.revision != before:
                time.sleep(pause)
            else:
                # A stuck rollout still has to miss its deadline: look again now and then.
                self._store.wait(before, IDLE_SECONDS)

    def _fill(self, replica_set: Body) -> None:
        """As many pods as the replica set wants."""
        wanted = replica_set["spec"]["replicas"]
        pods = self._store.owned(PODS, replica_set["metadata"]["uid"])
        for _ in range(wanted - len(pods)):
            self._add_pod(replica_set)
        pods.sort(key=is_ready)
        for pod in pods[: max(len(pods) - wanted, 0)]:
            self._store.remove(target_of(PODS, pod))
        kept = pods[max(len(pods) - wanted, 0) :]
        ready = sum(map(is_ready, kept))
        status = {
            "observedGeneration": replica_set["metadata"]["generation"],
            "replicas": wanted,
            "readyReplicas": ready,
            "availableReplicas": ready,
        }
        self._store.put(target_of(REPLICA_SETS, replica_set), replica_set | {"status": status})

    def _add_pod(self, replica_set: Body) -> None:
        pod = self._new_pod(replica_set)
        stored = self._store.put(target_of(PODS, pod), pod)
        self._grow(stored)
        name = pod["metadata"]["name"]
        emit(self._store, replica_set, "SuccessfulCreate", f"Created pod: {name}")

    def _new_pod(self, replica_set: Body) -> Body:
        meta = replica_set["metadata"]
        template = json.loads(json.dumps(replica_set["spec"]["template"]))
        share = meta.get("annotations", {}).get(DESIRED, "1")
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                **template.get("metadata", {}),
                "annotations": {
                    **(template["metadata"].get("annotations") or {}),
                    DESIRED: share,
                },
                "name": f"{meta['name']}-{random_suffix()}",
                "namespace": meta["namespace"],
                "ownerReferences": [owner_reference(replica_set)],
            },
            "spec": template["spec"],
        }

    def _grow(self, pod: Body) -> None:
        """Give the pod the status of its age."""
        annotations = pod["metadata"].get("annotations") or {}
        share = self._seconds / max(int(annotations.get(DESIRED, "1")), 1)
        age = self._age(pod) / share
        before = waiting_reason(pod)
        status = pod_status(pod, age, started_at=pod["metadata"]["creationTimestamp"])
        pod = self._store.put(target_of(PODS, pod), pod | {"status": status})
        if waiting_reason(pod) != before:
            kind, reason, message = event_of(pod)
            emit(self._store, pod, reason, message, kind=kind)

    def _collect_orphans(self) -> None:
        owners = {
            body["metadata"]["uid"]
            for resource in (DEPLOYMENTS, REPLICA_SETS)
            for body in self._store.every(resource)
        }
        for resource in (REPLICA_SETS, PODS):
            for body in self._store.every(resource):
                references = body["metadata"].get("ownerReferences")
                if references and not any(owner["uid"] in owners for owner in references):
                    self._store.remove(target_of(resource, body))

    def _empty_namespaces(self) -> bool:
        leaving = [
            body
            for body in self._store.every(NAMESPACES)
            if "deletionTimestamp" in body["metadata"]
        ]
        for body in leaving:
            if self._age(body) >= self._seconds:
                self._remove_namespace(body)
        return bool(leaving)

    def _remove_namespace(self, namespace: Body) -> None:
        for resource in RESOURCES:
            if resource.namespaced:
                for body in self._store.every(resource, namespace["metadata"]["name"]):
                    self._store.remove(target_of(resource, body))
        self._store.remove(target_of(NAMESPACES, namespace))

    def _age(self, body: Body) -> float:
        """Seconds since this process first saw the object in need of attention."""
        first = self._first_seen.setdefault(body["metadata"]["uid"], time.monotonic())
        return time.monotonic() - first
