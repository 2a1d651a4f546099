"""What a watch needs to know of an object: where it is, in which version, whose pod it is.

Pure. Two texts of ``sight`` differ as soon as somebody who looks at the rollout could see something
new. Lists and watches of marks ask for the metadata alone
(https://kubernetes.io/docs/reference/using-api/api-concepts/#alternate-representations-of-resources).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from endpoints.clients.kubernetes_objects import (
    Body,
    objects_at,
    text_at,
    version_of,
)
from endpoints.clients.rollout import TEMPLATE_HASH_LABEL

_METADATA = "application/json;as={kind};v=v1;g=meta.k8s.io,application/json"
METADATA_OF_LIST = _METADATA.format(kind="PartialObjectMetadataList")
METADATA_OF_ONE = _METADATA.format(kind="PartialObjectMetadata")
_DIGEST_BYTES = 8
BOOKMARK = "BOOKMARK"
DELETED = "DELETED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """One version of an object; ``workload`` is kind and name of what a pod belongs to."""

    namespace: str
    name: str
    version: str
    workload: tuple[str, str] | None = None


def mark_of(body: Body) -> Mark:
    """The mark of an object, of which the metadata is enough."""
    return Mark(
        namespace=text_at(body, "metadata", "namespace"),
        name=text_at(body, "metadata", "name"),
        version=version_of(body),
        workload=workload_of(body),
    )


def workload_of(pod: Body) -> tuple[str, str] | None:
    """Kind and name of the workload that controls a pod; the Deployment behind a ReplicaSet.

    The controller names a ReplicaSet by its Deployment and the hash that its pods are labelled
    with, so that nobody has to look at the ReplicaSet.
    """
    owners = objects_at(pod, "metadata", "ownerReferences")
    owner = next((each for each in owners if each.get("controller") is True), None)
    if owner is None:
        return None
    kind, name = text_at(owner, "kind"), text_at(owner, "name")
    suffix = f"-{text_at(pod, 'metadata', 'labels', TEMPLATE_HASH_LABEL)}"
    if kind == "ReplicaSet" and len(suffix) > 1 and name.endswith(suffix):
        return "Deployment", name.removesuffix(suffix)
    return kind, name


def pod_digest(name: str, version: str) -> int:
    """A number for one pod at one version, to be combined by exclusive or."""
    digest = hashlib.blake2b(f"{name}/{version}".encode(), digest_size=_DIGEST_BYTES)
    return int.from_bytes(digest.digest())


def digest_of(pods: Iterable[Mark]) -> int:
    """A number for all of these pods, in whatever order."""
    digest = 0
    for pod in pods:
        digest ^= pod_digest(pod.name, pod.version)
    return digest


def sight(version: str, pods: int | None = None) -> str:
    """An object as somebody saw it: its version, empty where it is not there, and for what has
    pods their ``digest_of``.
    """
    return version if pods is None else f"{version}/{pods:x}"


def includes_pods(seen: str) -> bool:
    """Whether the sight is one of an object and its pods."""
    return "/" in seen
