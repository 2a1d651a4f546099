"""What a Kubernetes task tells of its objects: one report each, the differences, the answer.

Pure. Nothing secret is in what it gives: values of Secrets are stars, and so is every secret of the
run wherever it turns up.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping
from typing import cast

from codestream.core.json_types import Json, JsonObject
from codestream.core.redact import MASK, redact_object, redact_text, redact_words
from codestream.core.words import Words, gettext_noop
from endpoints.clients.kubernetes_diagnosis import Diagnosis
from endpoints.clients.kubernetes_objects import (
    CLUSTER_WRITTEN,
    Body,
    Change,
    LiveObject,
    ObjectRef,
)
from endpoints.clients.rollout import Rollout, RolloutState
from executions.runners.base import TaskContext
from executions.telling import telling, words_of
from pipelines.manifests import dump

NOT_SENT = "NOT_STARTED"
SENT = "SENT"
FAILED = RolloutState.FAILED.value
READY = RolloutState.READY.value
EXECUTION_ANNOTATION = "codestream.io/execution"
TASK_ANNOTATION = "codestream.io/task"
PUSHES_ANNOTATION = "codestream.io/pushes"
LONGEST_DIFF = 20_000
CHANGED = f"{MASK} (changed)"
_NOT_COMPARED = CLUSTER_WRITTEN | {"uid", "creationTimestamp", "selfLink"}
_OWN_MARKS = frozenset({EXECUTION_ANNOTATION, TASK_ANNOTATION})


def report(
    ref: ObjectRef, *, change: str = "", state: str = NOT_SENT, message: str = ""
) -> JsonObject:
    """The first report of an object."""
    return {
        "ref": str(ref),
        "apiVersion": ref.api_version,
        "kind": ref.kind,
        "name": ref.name,
        "namespace": ref.namespace,
        "change": change,
        "state": state,
        **telling(message),
    }


def reports_in(cursor: Mapping[str, Json]) -> list[JsonObject]:
    """The reports as the last step left them."""
    return [dict(each) for each in cast("list[JsonObject]", cursor["objects"])]


def ref_in(item: Mapping[str, Json]) -> ObjectRef:
    """The address of the object that a report is about."""
    return ObjectRef(
        api_version=str(item["apiVersion"]),
        kind=str(item["kind"]),
        name=str(item["name"]),
        namespace=str(item["namespace"]),
    )


def with_rollout(item: JsonObject, rollout: Rollout) -> JsonObject:
    """The report after a look at the rollout."""
    return {
        **item,
        "state": rollout.state.value,
        **telling(rollout.message or words_of(item)),
        "desired": rollout.desired,
        "updated": rollout.updated,
        "ready": rollout.ready,
        "available": rollout.available,
        "pods": [
            {"name": pod.name, "phase": pod.phase, "ready": pod.ready, "reason": pod.reason}
            for pod in rollout.pods
        ],
    }


def failure_of(ref: ObjectRef, diagnosis: Diagnosis, secrets: Collection[str]) -> JsonObject:
    """A failure as it is kept with the task: the sentence, and what it was read from."""
    failure: JsonObject = {
        "ref": str(ref),
        "namespace": ref.namespace,
        "reason": diagnosis.reason,
        "events": list(diagnosis.events),
        "logs": [
            {"pod": log.pod, "container": log.container, "lines": list(log.lines)}
            for log in diagnosis.logs
        ],
    }
    kept = cast(JsonObject, without_secrets(failure, secrets))
    return {**kept, **telling(redact_words(diagnosis.message, secrets))}


def secrets_of(context: TaskContext) -> frozenset[str]:
    """The values of the run's secret variables."""
    shown = context.shown.variables
    return frozenset(
        value for name, value in context.scope.variables.items() if shown.get(name) == MASK
    )


def without_secrets(value: Json, secrets: Collection[str]) -> Json:
    """The value with the secrets masked in every text of it."""
    if isinstance(value, str):
        return redact_text(value, secrets)
    if isinstance(value, list):
        return [without_secrets(item, secrets) for item in value]
    if isinstance(value, dict):
        return {key: without_secrets(item, secrets) for key, item in value.items()}
    return value


def difference(before: Body, after: Body, secrets: Collection[str]) -> str:
    """What changed, as a unified diff of YAML; empty when nothing did.

    A value of a Secret that changed says so, and not what it was or is.
    """
    texts = (_shown(before, {}), _shown(after, before))
    old, new = (dump(text).splitlines() if text else [] for text in texts)
    lines = list(difflib.unified_diff(old, new, "before", "after", lineterm=""))
    return redact_text("\n".join(lines), secrets)[:LONGEST_DIFF]


def response_of(objects: Iterable[LiveObject], secrets: Collection[str]) -> JsonObject:
    """``<plural>.<name>`` for each object, as the cluster holds it."""
    response: JsonObject = {}
    for live in objects:
        plural = camel_plural(live.ref.kind, live.resource)
        group = cast(JsonObject, response.setdefault(plural, {}))
        group[live.ref.name] = without_secrets(redact_object(dict(live.body)), secrets)
    return response


def camel_plural(kind: str, plural: str) -> str:
    """``configMaps`` for the kind ConfigMap, whose plural in the API is ``configmaps``."""
    pairs = zip(kind.lower(), plural, strict=False)
    same = next((at for at, (one, other) in enumerate(pairs) if one != other), len(kind))
    return kind[:1].lower() + kind[1:same] + plural[same:]


def summary(reports: Iterable[Mapping[str, Json]]) -> Words:
    """How many objects there are, and how many the task changed."""
    changes = [item["change"] for item in reports]
    changed = sum(change not in ("", Change.UNCHANGED.value) for change in changes)
    said = {"number": len(changes), "changed": changed}
    return Words(gettext_noop("%(number)s objects ready, %(changed)s changed"), said)


def _shown(body: Body, other: Body) -> JsonObject:
    """The body without what the cluster writes by itself, fit to be shown beside ``other``."""
    shown = cast(JsonObject, redact_object(dict(body)))
    shown.pop("status", None)
    metadata = shown.get("metadata")
    if isinstance(metadata, dict):
        shown["metadata"] = _own(metadata)
    if body.get("kind") == "Secret" and other:
        _mark_changed(shown, body.get("data"), other.get("data"))
    return shown


def _own(metadata: JsonObject) -> JsonObject:
    kept = {name: value for name, value in metadata.items() if name not in _NOT_COMPARED}
    annotations = kept.get("annotations")
    if isinstance(annotations, dict):
        others = {name: value for name, value in annotations.items() if name not in _OWN_MARKS}
        kept["annotations"] = others
        if not others:
            del kept["annotations"]
    return kept


def _mark_changed(shown: JsonObject, new: Json, old: Json) -> None:
    values, before = shown.get("data"), old if isinstance(old, dict) else {}
    if isinstance(values, dict) and isinstance(new, dict):
        shown["data"] = {
            name: CHANGED if name in before and before[name] != new.get(name) else value
            for name, value in values.items()
        }
