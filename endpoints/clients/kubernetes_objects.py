"""The plain objects that the Kubernetes client takes and gives, and how to read a JSON body.

Pure: no wire, no Django. What a rollout's state means is left to ``rollout``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from codestream.core.json_types import Json
from codestream.core.redact import SECRET_FIELDS

Body: TypeAlias = Mapping[str, Json]

CLUSTER_DEFAULT_NAMESPACE = "default"
CLUSTER_WRITTEN = frozenset({"resourceVersion", "managedFields", "generation"})
NEVER_GIVEN = CLUSTER_WRITTEN | {
    "uid",
    "creationTimestamp",
    "selfLink",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
}
# Controllers number their revisions here, by themselves.
COUNTERS = ("deployment.kubernetes.io/", "deprecated.daemonset.template.generation")
JOB_LABELS = ("controller-uid", "job-name", "batch.kubernetes.io/")


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectRef:
    """The address of one object: ``apps/v1``, ``Deployment``, ``web``, ``shop``.

    ``namespace`` is empty for objects that belong to the whole cluster.
    """

    api_version: str
    kind: str
    name: str
    namespace: str = ""

    def __str__(self) -> str:
        return f"{self.kind.lower()}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveObject:
    """An object as the cluster answered it; ``resource`` is the plural, ``deployments``.

    The body of a Secret holds its values: pass it through ``redact`` before it is shown or kept.
    """

    ref: ObjectRef
    resource: str
    body: Body

    def annotation(self, name: str) -> str:
        """The value of one annotation, or an empty text."""
        return text_at(self.body, "metadata", "annotations", name)


def version_of(body: Body) -> str:
    """The resourceVersion: what tells an object from itself after any change; empty for none."""
    return text_at(body, "metadata", "resourceVersion")


class Change(StrEnum):
    """What a call did to an object, in the words of ``kubectl``."""

    CREATED = "CREATED"
    CONFIGURED = "CONFIGURED"
    UNCHANGED = "UNCHANGED"
    DELETED = "DELETED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """An object after an apply, and what the apply changed."""

    object: LiveObject
    change: Change


def manager_times(body: Body) -> dict[str, str]:
    """When each field manager of an object last wrote, by its name."""
    entries = objects_at(body, "metadata", "managedFields")
    ordered = sorted(entries, key=lambda entry: text_at(entry, "time"))
    return {text_at(entry, "manager"): text_at(entry, "time") for entry in ordered}


def ref_of(body: Body) -> ObjectRef:
    """The address that a manifest or a live body carries; absent parts are empty."""
    return ObjectRef(
        api_version=text_at(body, "apiVersion"),
        kind=text_at(body, "kind"),
        name=text_at(body, "metadata", "name"),
        namespace=text_at(body, "metadata", "namespace"),
    )


def value_at(body: Json | Body, *path: str) -> Json:
    """The value under a path of keys, or None where any key is absent."""
    found: object = body
    for key in path:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found if isinstance(found, dict | list | str | int | float) else None


def text_at(body: Json | Body, *path: str) -> str:
    """The text under a path, or an empty text where there is none."""
    found = value_at(body, *path)
    return found if isinstance(found, str) else ""


def int_at(body: Json | Body, *path: str, default: int = 0) -> int:
    """The whole number under a path, or ``default``."""
    found = value_at(body, *path)
    return found if isinstance(found, int) and not isinstance(found, bool) else default


def objects_at(body: Json | Body, *path: str) -> list[dict[str, Json]]:
    """The objects of the list under a path; anything else in it is left out."""
    found = value_at(body, *path)
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def texts_at(body: Json | Body, *path: str) -> dict[str, str]:
    """The text values of the map under a path: labels, a selector."""
    found = value_at(body, *path)
    if not isinstance(found, dict):
        return {}
    return {key: value for key, value in found.items() if isinstance(value, str)}


def condition(body: Body, kind: str) -> Body:
    """The status condition of this type; empty where there is none."""
    conditions = objects_at(body, "status", "conditions")
    return next((item for item in conditions if item.get("type") == kind), {})


def is_owned(body: Body, owner_uid: str) -> bool:
    """Whether the object names this one as an owner."""
    owners = objects_at(body, "metadata", "ownerReferences")
    return any(owner.get("uid") == owner_uid for owner in owners)


def is_same_content(before: Body, after: Body) -> bool:
    """Whether two bodies of one object differ only in what a cluster writes by itself."""
    return _content(before) == _content(after)


def secret_values(manifest: Body) -> tuple[str, ...]:
    """Every value of a Secret, as text, also where it should be none; none for other kinds."""
    if manifest.get("kind") != "Secret":
        return ()
    groups = (value for name, value in manifest.items() if name.lower() in SECRET_FIELDS)
    return tuple(text for group in groups for text in _texts(group))


def _texts(value: Json) -> Iterator[str]:
    """Every single value in this one, as text."""
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)
    elif value not in (None, ""):
        yield str(value)


def restorable(body: Body) -> dict[str, Json]:
    """What of an object somebody can have given it: all but what the cluster writes by itself."""
    metadata = value_at(body, "metadata")
    kept = dict(metadata) if isinstance(metadata, dict) else {}
    kept = {name: value for name, value in kept.items() if name not in NEVER_GIVEN}
    annotations = _without(kept.get("annotations"), COUNTERS)
    if annotations:
        kept["annotations"] = annotations
    else:
        kept.pop("annotations", None)
    restored = {name: value for name, value in body.items() if name != "status"}
    return restored | {"metadata": kept}


def creatable(body: Body) -> dict[str, Json]:
    """What creates an object like this one anew; a Job chooses its selector itself."""
    fresh = restorable(body)
    spec, template = value_at(body, "spec"), value_at(body, "spec", "template")
    if text_at(body, "kind") != "Job" or not isinstance(spec, dict):
        return fresh
    metadata = value_at(template, "metadata")
    given = dict(metadata) if isinstance(metadata, dict) else {}
    given["labels"] = _without(given.get("labels"), JOB_LABELS)
    pods = {**template, "metadata": given} if isinstance(template, dict) else template
    chosen = {name: value for name, value in spec.items() if name != "selector"}
    return {**fresh, "spec": {**chosen, "template": pods}}


def _without(values: Json, prefixes: tuple[str, ...]) -> dict[str, Json]:
    given = values if isinstance(values, dict) else {}
    return {name: value for name, value in given.items() if not name.startswith(prefixes)}


def _content(body: Body) -> Body:
    metadata = body.get("metadata")
    kept = metadata if isinstance(metadata, dict) else {}
    own = {key: value for key, value in kept.items() if key not in CLUSTER_WRITTEN}
    return {key: value for key, value in body.items() if key != "status"} | {"metadata": own}
