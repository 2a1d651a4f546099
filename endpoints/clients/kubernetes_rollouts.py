"""Looks at rollouts: fetches the objects and the pods of their newest revision in a few calls."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from endpoints.clients.base import Forbidden
from endpoints.clients.kubernetes import Kubernetes
from endpoints.clients.kubernetes_marks import digest_of, mark_of, sight
from endpoints.clients.kubernetes_objects import (
    CLUSTER_DEFAULT_NAMESPACE,
    Body,
    LiveObject,
    ObjectRef,
    text_at,
    version_of,
)
from endpoints.clients.pod_states import pod_state
from endpoints.clients.rollout import (
    TEMPLATE_HASH_LABEL,
    Rollout,
    RolloutState,
    has_pods,
    is_observed,
    judge,
    label_selector,
    newest_template_hash,
    owned_by,
    with_pods,
)

# From so many objects of a kind in a namespace on, one list is cheaper than a call for each.
WORTH_A_LIST = 3
REVISION_HASH_LABEL = "controller-revision-hash"
GENERATION_LABEL = "pod-template-generation"
GENERATION_ANNOTATION = "deprecated.daemonset.template.generation"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Workers:
    """The pods of a namespace, and the replica sets that tell their revisions."""

    pods: tuple[Body, ...]
    replica_sets: tuple[Body, ...]


def look(cluster: Kubernetes, ref: ObjectRef) -> Rollout:
    """Look once at one rollout."""
    return look_at_all(cluster, (ref,))[0]


def look_at_all(
    cluster: Kubernetes,
    refs: Sequence[ObjectRef],
    *,
    known: Mapping[ObjectRef, LiveObject] = MappingProxyType({}),
) -> tuple[Rollout, ...]:
    """Look once at the rollout of each object; one that is gone has failed.

    Objects that are ``known``, since the cluster has just answered with them, are not fetched.
    """
    found = fetch_all(cluster, [ref for ref in refs if ref not in known])
    found |= {ref: known[ref] for ref in refs if ref in known}
    bodies = {ref: each.body for ref, each in found.items()}
    seen = {ref: judge(bodies[ref]) if ref in bodies else _gone(ref) for ref in refs}
    unfinished = [
        body
        for ref, body in bodies.items()
        if has_pods(body) and _is_told_apart(body) and seen[ref].state != RolloutState.READY
    ]
    workers = {
        namespace: _workers(cluster, namespace, owners)
        for namespace, owners in _by_namespace(unfinished).items()
    }
    for ref, body in bodies.items():
        marks = []
        if body in unfinished:
            near = workers[text_at(body, "metadata", "namespace")]
            pods = _new_pods(body, near)
            seen[ref] = with_pods(seen[ref], [pod_state(pod) for pod in pods])
            own = (text_at(body, "kind"), text_at(body, "metadata", "name"))
            marks = [mark for mark in map(mark_of, near.pods) if mark.workload == own]
        version = version_of(body)
        digest = digest_of(marks) if has_pods(body) else None
        seen[ref] = replace(seen[ref], seen=sight(version, digest), live=found[ref])
    return tuple(seen[ref] for ref in refs)


def _is_told_apart(body: Body) -> bool:
    """Whether the pods can be told apart; a Job has one generation of them and no counter."""
    return text_at(body, "kind") == "Job" or is_observed(body)


def fetch_all(cluster: Kubernetes, refs: Iterable[ObjectRef]) -> dict[ObjectRef, LiveObject]:
    """The objects as they are now, in a few calls; those that are gone are left out."""
    groups: dict[tuple[str, str, str], list[ObjectRef]] = defaultdict(list)
    for ref in refs:
        groups[ref.api_version, ref.kind, ref.namespace].append(ref)
    found: dict[ObjectRef, LiveObject] = {}
    for group in groups.values():
        listed = _listed(cluster, group) if len(group) >= WORTH_A_LIST else None
        if listed is None:
            one_by_one = {ref: cluster.find(ref) for ref in group}
            listed = {ref: live for ref, live in one_by_one.items() if live is not None}
        found |= listed
    return found


def _listed(cluster: Kubernetes, group: Sequence[ObjectRef]) -> dict[ObjectRef, LiveObject] | None:
    """The objects of one kind and namespace by one call; None where that is not allowed."""
    first = group[0]
    namespace = first.namespace or CLUSTER_DEFAULT_NAMESPACE
    try:
        listed = cluster.list(first.api_version, first.kind, namespace=namespace)
    except Forbidden:
        return None
    by_name = {each.ref.name: each for each in listed}
    return {ref: by_name[ref.name] for ref in group if ref.name in by_name}


def _by_namespace(bodies: Iterable[Body]) -> Mapping[str, list[Body]]:
    groups: dict[str, list[Body]] = defaultdict(list)
    for body in bodies:
        groups[text_at(body, "metadata", "namespace")].append(body)
    return groups


def _workers(cluster: Kubernetes, namespace: str, owners: Sequence[Body]) -> _Workers:
    selector = label_selector(owners[0]) if len(owners) == 1 else ""
    kinds = ["Pod"]
    if any(text_at(owner, "kind") == "Deployment" for owner in owners):
        kinds.append("ReplicaSet")
    lists = {kind: _list(cluster, kind, namespace, selector) for kind in kinds}
    return _Workers(pods=lists["Pod"], replica_sets=lists.get("ReplicaSet", ()))


def _list(cluster: Kubernetes, kind: str, namespace: str, selector: str) -> tuple[Body, ...]:
    """The workers of a kind; none where the account may not see them, which only says less."""
    api_version = "v1" if kind == "Pod" else "apps/v1"
    try:
        found = cluster.list(api_version, kind, namespace=namespace, label_selector=selector)
    except Forbidden:
        return ()
    return tuple(each.body for each in found)


def _new_pods(owner: Body, workers: _Workers) -> list[Body]:
    """The pods of the owner's newest revision, without those that are on their way out."""
    uid, kind = text_at(owner, "metadata", "uid"), text_at(owner, "kind")
    alive = [pod for pod in workers.pods if not text_at(pod, "metadata", "deletionTimestamp")]
    if kind == "Deployment":
        wanted = newest_template_hash(workers.replica_sets, uid)
        replica_sets = owned_by(workers.replica_sets, uid)
        owners = {text_at(each, "metadata", "uid") for each in replica_sets}
        own = [pod for owner_uid in owners for pod in owned_by(alive, owner_uid)]
        return _labelled(own, TEMPLATE_HASH_LABEL, wanted)
    own = owned_by(alive, uid)
    if kind == "StatefulSet":
        return _labelled(own, REVISION_HASH_LABEL, text_at(owner, "status", "updateRevision"))
    if kind == "DaemonSet":
        wanted = text_at(owner, "metadata", "annotations", GENERATION_ANNOTATION)
        return _labelled(own, GENERATION_LABEL, wanted)
    return own


def _labelled(pods: Iterable[Body], label: str, wanted: str) -> list[Body]:
    return [pod for pod in pods if text_at(pod, "metadata", "labels", label) == wanted]


def _gone(ref: ObjectRef) -> Rollout:
    message = f"{ref} is gone: somebody has deleted it"
    return Rollout(ref=ref, state=RolloutState.FAILED, reason="NotFound", message=message)
