"""Says from an object's body whether its rollout is ready, still going or has failed.

Pure, by the rules of ``kubectl rollout status``
(https://github.com/kubernetes/kubectl/blob/master/pkg/polymorphichelpers/rollout_status.go).
Fetching the bodies is left to the client, waiting and looking again to the runner.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from endpoints.clients.kubernetes_objects import (
    Body,
    ObjectRef,
    int_at,
    objects_at,
    ref_of,
    text_at,
    texts_at,
)

REVISION_ANNOTATION = "deployment.kubernetes.io/revision"
TEMPLATE_HASH_LABEL = "pod-template-hash"

# Reasons that no further waiting mends without a new manifest or a new secret. ErrImagePull is
# not among them: the kubelet says it once before it has tried again.
HOPELESS = frozenset({"ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName"})
# What every pod says while nothing is wrong yet.
USUAL = frozenset({"ContainerCreating", "PodInitializing"})


class RolloutState(StrEnum):
    """Where a rollout stands; only PROGRESSING is worth another look."""

    PROGRESSING = "PROGRESSING"
    READY = "READY"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True, kw_only=True)
class PodState:
    """One pod of the new revision; ``reason`` is empty while nothing hinders it."""

    name: str
    phase: str
    ready: bool
    reason: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """One look at a rollout: the four counters are numbers of pods."""

    ref: ObjectRef
    state: RolloutState
    message: str
    desired: int = 0
    updated: int = 0
    ready: int = 0
    available: int = 0
    reason: str = ""
    pods: tuple[PodState, ...] = ()


def judge(body: Body) -> Rollout:
    """The rollout of any object; a kind without rollout is ready once it exists."""
    known = JUDGES.get((text_at(body, "apiVersion"), text_at(body, "kind")))
    if known is not None:
        return known(body)
    ref = ref_of(body)
    return Rollout(ref=ref, state=RolloutState.READY, message=f"{ref} exists")


def judge_deployment(body: Body) -> Rollout:
    """The rollout of a Deployment, without a look at its pods."""
    ref = ref_of(body)
    desired = int_at(body, "spec", "replicas", default=1)
    updated = int_at(body, "status", "updatedReplicas")
    available = int_at(body, "status", "availableReplicas")
    seen = Rollout(
        ref=ref,
        state=RolloutState.PROGRESSING,
        message="",
        desired=desired,
        updated=updated,
        ready=int_at(body, "status", "readyReplicas"),
        available=available,
    )
    if not is_observed(body):
        return replace(seen, message=f"waiting for the cluster to see the change of {ref}")
    if _condition(body, "Progressing").get("reason") == "ProgressDeadlineExceeded":
        return replace(
            seen,
            state=RolloutState.FAILED,
            reason="ProgressDeadlineExceeded",
            message=f"{ref} exceeded its progress deadline",
        )
    old = int_at(body, "status", "replicas") - updated
    if updated < desired:
        return _held_up(body, replace(seen, message=f"{updated} of {desired} pods are updated"))
    if old > 0:
        return replace(seen, message=f"{old} old pods are still to be removed")
    if available < updated:
        message = f"{available} of {updated} updated pods are available"
        return replace(seen, message=message)
    return replace(seen, state=RolloutState.READY, message=f"{ref} is rolled out")


def judge_stateful_set(body: Body) -> Rollout:
    """The rollout of a StatefulSet; with the strategy OnDelete there is nothing to wait for."""
    ref = ref_of(body)
    desired = int_at(body, "spec", "replicas", default=1)
    updated = int_at(body, "status", "updatedReplicas")
    ready = int_at(body, "status", "readyReplicas")
    seen = Rollout(
        ref=ref,
        state=RolloutState.PROGRESSING,
        message="",
        desired=desired,
        updated=updated,
        ready=ready,
        available=int_at(body, "status", "availableReplicas", default=ready),
    )
    done = replace(seen, state=RolloutState.READY, message=f"{ref} is rolled out")
    if text_at(body, "spec", "updateStrategy", "type") == "OnDelete":
        return done
    if not is_observed(body):
        return replace(seen, message=f"waiting for the cluster to see the change of {ref}")
    if ready < desired:
        return replace(seen, message=f"{ready} of {desired} pods are ready")
    partition = int_at(body, "spec", "updateStrategy", "rollingUpdate", "partition")
    if partition:
        wanted = desired - partition
        return done if updated >= wanted else replace(seen, message=_updated(updated, wanted))
    if text_at(body, "status", "updateRevision") != text_at(body, "status", "currentRevision"):
        return replace(seen, message=_updated(updated, desired))
    return done


def judge_daemon_set(body: Body) -> Rollout:
    """The rollout of a DaemonSet; with the strategy OnDelete there is nothing to wait for."""
    ref = ref_of(body)
    desired = int_at(body, "status", "desiredNumberScheduled")
    updated = int_at(body, "status", "updatedNumberScheduled")
    available = int_at(body, "status", "numberAvailable")
    seen = Rollout(
        ref=ref,
        state=RolloutState.PROGRESSING,
        message="",
        desired=desired,
        updated=updated,
        ready=int_at(body, "status", "numberReady"),
        available=available,
    )
    done = replace(seen, state=RolloutState.READY, message=f"{ref} is rolled out")
    if text_at(body, "spec", "updateStrategy", "type") == "OnDelete":
        return done
    if not is_observed(body):
        return replace(seen, message=f"waiting for the cluster to see the change of {ref}")
    if updated < desired:
        return replace(seen, message=_updated(updated, desired))
    if available < desired:
        return replace(seen, message=f"{available} of {desired} pods are available")
    return done


def judge_job(body: Body) -> Rollout:
    """A Job is ready when it is complete, and failed when the cluster gave it up."""
    ref = ref_of(body)
    desired = int_at(body, "spec", "completions", default=1)
    succeeded = int_at(body, "status", "succeeded")
    seen = Rollout(
        ref=ref,
        state=RolloutState.PROGRESSING,
        message=f"{succeeded} of {desired} pods have succeeded",
        desired=desired,
        updated=int_at(body, "status", "active"),
        ready=int_at(body, "status", "ready"),
        available=succeeded,
    )
    failed = _condition(body, "Failed")
    if failed.get("status") == "True":
        why = text_at(failed, "message") or "the job failed"
        reason = text_at(failed, "reason")
        return replace(seen, state=RolloutState.FAILED, reason=reason, message=f"{ref}: {why}")
    if _condition(body, "Complete").get("status") == "True":
        return replace(seen, state=RolloutState.READY, message=f"{ref} is complete")
    return seen


JUDGES: dict[tuple[str, str], Callable[[Body], Rollout]] = {
    ("apps/v1", "Deployment"): judge_deployment,
    ("apps/v1", "StatefulSet"): judge_stateful_set,
    ("apps/v1", "DaemonSet"): judge_daemon_set,
    ("batch/v1", "Job"): judge_job,
}


def is_observed(body: Body) -> bool:
    """Whether the status speaks of the present spec; until then its counters are of the past."""
    generation = int_at(body, "metadata", "generation")
    return int_at(body, "status", "observedGeneration") >= max(generation, 1)


def with_pods(rollout: Rollout, pods: Sequence[PodState]) -> Rollout:
    """The rollout with its pods: a pod that cannot start fails it, with the pod's own reason."""
    rollout = replace(rollout, pods=tuple(pods))
    hindered = sorted((pod for pod in pods if pod.reason), key=lambda pod: pod.name)
    worst = next((pod for pod in hindered if pod.reason in HOPELESS), None)
    if worst is not None:
        message = f"{worst.reason}: {worst.message or worst.name}"
        return replace(rollout, state=RolloutState.FAILED, reason=worst.reason, message=message)
    if not hindered:
        return rollout
    first = hindered[0]
    message = f"{rollout.message}; pod {first.name}: {first.reason}: {first.message}"
    return replace(rollout, reason=rollout.reason or first.reason, message=message.rstrip(": "))


def pod_state(body: Body) -> PodState:
    """What one pod says of itself: the first thing that keeps it from being ready."""
    reason, message = _hindrance(body)
    return PodState(
        name=text_at(body, "metadata", "name"),
        phase=text_at(body, "status", "phase"),
        ready=_condition(body, "Ready").get("status") == "True",
        reason=reason,
        message=message,
    )


def newest_template_hash(replica_sets: Iterable[Body], owner_uid: str) -> str:
    """The pod-template-hash of the owner's newest ReplicaSet; empty while there is none."""
    owned = [body for body in replica_sets if _is_owned(body, owner_uid)]
    newest = max(owned, key=_revision, default=None)
    return text_at(newest, "metadata", "labels", TEMPLATE_HASH_LABEL) if newest else ""


def label_selector(body: Body) -> str:
    """The ``spec.selector.matchLabels`` of a workload, as a list call takes it."""
    labels = texts_at(body, "spec", "selector", "matchLabels")
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()))


def _hindrance(body: Body) -> tuple[str, str]:
    for group in ("initContainerStatuses", "containerStatuses"):
        for container in objects_at(body, "status", group):
            reason = text_at(container, "state", "waiting", "reason")
            if reason and reason not in USUAL:
                return reason, text_at(container, "state", "waiting", "message")
    scheduled = _condition(body, "PodScheduled")
    if scheduled.get("status") == "False":
        return text_at(scheduled, "reason"), text_at(scheduled, "message")
    return text_at(body, "status", "reason"), text_at(body, "status", "message")


def _held_up(body: Body, rollout: Rollout) -> Rollout:
    """Tells why no pod appears: a quota or an admission rule refuses them."""
    failure = _condition(body, "ReplicaFailure")
    if failure.get("status") != "True":
        return rollout
    reason, why = text_at(failure, "reason"), text_at(failure, "message")
    return replace(rollout, reason=reason, message=f"{rollout.message}; {reason}: {why}")


def _condition(body: Body, kind: str) -> Body:
    conditions = objects_at(body, "status", "conditions")
    return next((item for item in conditions if item.get("type") == kind), {})


def _is_owned(body: Body, owner_uid: str) -> bool:
    owners = objects_at(body, "metadata", "ownerReferences")
    return any(owner.get("uid") == owner_uid for owner in owners)


def _revision(body: Body) -> int:
    text = text_at(body, "metadata", "annotations", REVISION_ANNOTATION)
    return int(text) if text.isdigit() else 0


def _updated(updated: int, wanted: int) -> str:
    return f"{updated} of {wanted} pods are updated"
