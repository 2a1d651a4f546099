"""Events of the stand-in cluster: what its controllers say about an object."""

from __future__ import annotations

from codestream.sandbox.kubernetes_resources import EVENTS, Body, Target
from codestream.sandbox.kubernetes_store import Store, now, random_suffix, target_of

KEPT = 200


def emit(store: Store, about: Body, reason: str, message: str, *, kind: str = "Normal") -> None:
    """Add an event about an object; ``kind`` is Normal or Warning. The oldest ones go."""
    meta = about["metadata"]
    target = Target(
        resource=EVENTS,
        namespace=meta["namespace"],
        name=f"{meta['name']}.{random_suffix()}{random_suffix()}",
    )
    at = now()
    body: Body = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {},
        "involvedObject": {
            "apiVersion": about["apiVersion"],
            "kind": about["kind"],
            "name": meta["name"],
            "namespace": meta["namespace"],
            "uid": meta["uid"],
        },
        "reason": reason,
        "message": message,
        "type": kind,
        "count": 1,
        "firstTimestamp": at,
        "lastTimestamp": at,
        "source": {"component": "stand-in"},
    }
    store.put(target, body)
    events = store.every(EVENTS)
    if len(events) > KEPT:
        oldest = min(events, key=lambda event: int(event["metadata"]["resourceVersion"]))
        store.remove(target_of(EVENTS, oldest))
