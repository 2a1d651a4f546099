"""Runs Kubernetes tasks: creates or applies the manifests, then follows the rollout of each."""

from __future__ import annotations

from datetime import timedelta
from typing import cast

from codestream.core.clock import now
from codestream.core.errors import CodeStreamError
from codestream.core.json_types import Json, JsonObject
from codestream.core.redact import redact_object
from endpoints.clients.base import Conflict
from endpoints.clients.kubernetes import Kubernetes
from endpoints.clients.kubernetes_objects import Change, LiveObject, ObjectRef, ref_of
from endpoints.clients.rollout import Rollout, RolloutState
from endpoints.kinds import kubernetes
from endpoints.models import EndpointKind
from executions.runners.base import Done, Outcome, TaskContext, TaskFailedError, Wait
from pipelines.kubernetes_task import KubernetesAction, KubernetesTask, parse
from pipelines.manifests import dump, render

LOOK_EVERY = timedelta(seconds=1)
EXECUTION_ANNOTATION = "codestream.io/execution"
TASK_ANNOTATION = "codestream.io/task"


class KubernetesRunner:
    """Task kind ``K8S``."""

    def start(self, context: TaskContext) -> Outcome:
        """Send every manifest, in order; what was sent by an earlier try is recognised."""
        task = parse(context.input, context.endpoints)
        with self._cluster(context, task) as cluster:
            reports = _send_all(cluster, task, context)
        shown: JsonObject = {
            "action": task.action.value,
            "endpoint": task.endpoint,
            "yaml": "---\n".join(
                dump(redact_object(render(item, context.shown))) for item in task.manifests
            ),
        }
        return Wait(
            until=now(),
            message=f"{len(reports)} objects sent, waiting for the rollout",
            cursor={"objects": cast(Json, reports)},
            output={"objects": cast(Json, reports)},
            input=shown,
        )

    def poll(self, context: TaskContext) -> Outcome:
        """Look once at every object that was sent."""
        task = parse(context.input, context.endpoints)
        sent = cast("list[JsonObject]", context.cursor["objects"])
        with self._cluster(context, task) as cluster:
            rollouts = [cluster.rollout(_ref(item)) for item in sent]
            reports = [_progress(*look) for look in zip(sent, rollouts, strict=True)]
            output: JsonObject = {"objects": cast(Json, reports)}
            states = {rollout.state: rollout for rollout in reversed(rollouts)}
            if failed := states.get(RolloutState.FAILED):
                output["failures"] = [failed.message]
                raise TaskFailedError(f"{failed.ref}: {failed.message}", output=output)
            if waiting := states.get(RolloutState.PROGRESSING):
                message = f"{waiting.ref}: {waiting.message}"
                return _look_again(context, message, output)
            output["response"] = _response(cluster, sent)
        return Done(message=_summary(reports), output=output)

    def cancel(self, context: TaskContext) -> None:
        """Nothing runs here between two steps; what was sent stays as it is."""

    def _cluster(self, context: TaskContext, task: KubernetesTask) -> Kubernetes:
        return kubernetes(context.find_endpoint(task.endpoint, EndpointKind.KUBERNETES))


def _send_all(cluster: Kubernetes, task: KubernetesTask, context: TaskContext) -> list[JsonObject]:
    """Send the manifests; one that is refused ends the task, with a report of all before it."""
    reports: list[JsonObject] = []
    for manifest in task.manifests:
        body = _stamped(render(manifest, context.scope), context)
        try:
            reports.append(_send(cluster, task, body, context))
        except CodeStreamError as error:
            if error.retryable:
                raise
            reports.append(_report(ref_of(body), "", "FAILED", error.user_message))
            raise TaskFailedError(
                f"{ref_of(body)}: {error.user_message}",
                output={"objects": cast(Json, reports), "failures": [error.user_message]},
            ) from error
    return reports


def _look_again(context: TaskContext, message: str, output: JsonObject) -> Wait:
    return Wait(until=now() + LOOK_EVERY, message=message, cursor={**context.cursor}, output=output)


def _stamped(body: JsonObject, context: TaskContext) -> JsonObject:
    """Add who sent the object: it tells an own earlier try from a stranger's object."""
    metadata = cast(JsonObject, body["metadata"])
    annotations = metadata.get("annotations") or {}
    marks = {EXECUTION_ANNOTATION: context.execution_id, TASK_ANNOTATION: context.task_id}
    metadata["annotations"] = {**cast(JsonObject, annotations), **marks}
    return body


def _send(
    cluster: Kubernetes, task: KubernetesTask, body: JsonObject, context: TaskContext
) -> JsonObject:
    if task.action is KubernetesAction.APPLY:
        applied = cluster.apply(body)
        return _report(applied.object.ref, applied.change.value, "SENT", "")
    try:
        return _report(cluster.create(body).ref, Change.CREATED.value, "SENT", "")
    except Conflict:
        return _settle_conflict(cluster.get(ref_of(body)), task, context)


def _settle_conflict(found: LiveObject, task: KubernetesTask, context: TaskContext) -> JsonObject:
    if found.annotation(TASK_ANNOTATION) == context.task_id:
        return _report(found.ref, Change.CREATED.value, "SENT", "")
    if task.continue_on_conflict:
        return _report(found.ref, Change.UNCHANGED.value, "SENT", "exists already, left alone")
    raise Conflict(
        f"{found.ref} exists already and was not created by this task.",
        advice="Use the action Apply, or switch on Continue on conflict.",
    )


def _report(ref: ObjectRef, change: str, state: str, message: str) -> JsonObject:
    return {
        "ref": str(ref),
        "apiVersion": ref.api_version,
        "kind": ref.kind,
        "name": ref.name,
        "namespace": ref.namespace,
        "change": change,
        "state": state,
        "message": message,
    }


def _ref(item: JsonObject) -> ObjectRef:
    return ObjectRef(
        api_version=str(item["apiVersion"]),
        kind=str(item["kind"]),
        name=str(item["name"]),
        namespace=str(item["namespace"]),
    )


def _progress(item: JsonObject, rollout: Rollout) -> JsonObject:
    return {
        **item,
        "state": rollout.state.value,
        "message": rollout.message or str(item["message"]),
        "desired": rollout.desired,
        "updated": rollout.updated,
        "ready": rollout.ready,
        "available": rollout.available,
        "pods": [
            {"name": pod.name, "phase": pod.phase, "ready": pod.ready, "reason": pod.reason}
            for pod in rollout.pods
        ],
    }


def _response(cluster: Kubernetes, sent: list[JsonObject]) -> JsonObject:
    """Return ``<plural>.<name>`` as the cluster holds it, Secrets with stars for values."""
    response: JsonObject = {}
    for item in sent:
        live = cluster.get(_ref(item))
        group = cast(JsonObject, response.setdefault(live.resource, {}))
        group[live.ref.name] = redact_object(dict(live.body))
    return response


def _summary(reports: list[JsonObject]) -> str:
    changed = sum(item["change"] != Change.UNCHANGED.value for item in reports)
    return f"{len(reports)} objects ready, {changed} changed"
