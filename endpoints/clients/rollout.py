"""Says from an object's body whether its rollout is ready, still going or has failed.

Pure, by the rules of ``kubectl rollout status``
(https://github.com/kubernetes/kubectl/blob/master/pkg/polymorphichelpers/rollout_status.go) for
what has pods, and else by those of kstatus (https://github.com/kubernetes-sigs/cli-utils).
Fetching the bodies is left to the client, waiting and looking again to the runner.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from codestream.core.words import Words, gettext_noop, joined
from endpoints.clients.kubernetes_objects import (
    Body,
    LiveObject,
    ObjectRef,
    condition,
    int_at,
    is_owned,
    objects_at,
    ref_of,
    text_at,
    texts_at,
    value_at,
)
from endpoints.clients.pod_states import PodState, pod_state

REVISION_ANNOTATION = "deployment.kubernetes.io/revision"
TEMPLATE_HASH_LABEL = "pod-template-hash"


class RolloutState(StrEnum):
    """Where a rollout stands; only PROGRESSING is worth another look."""

    PROGRESSING = "PROGRESSING"
    READY = "READY"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """One look at a rollout: the four counters are numbers of pods.

    ``seen`` tells this sight of the object and its pods from any other
    (``kubernetes_marks.sight``); ``live`` is the object as it was read, None where it is gone.
    """

    ref: ObjectRef
    state: RolloutState
    message: str
    desired: int = 0
    updated: int = 0
    ready: int = 0
    available: int = 0
    reason: str = ""
    pods: tuple[PodState, ...] = ()
    seen: str = ""
    live: LiveObject | None = field(default=None, compare=False, repr=False)


def judge(body: Body) -> Rollout:
    """The rollout of any object; a kind without status is ready once it exists."""
    known = JUDGES.get((_group(body), text_at(body, "kind")), judge_conditions)
    ref = ref_of(body)
    if text_at(body, "metadata", "deletionTimestamp"):
        return _going(ref, _about(ref, gettext_noop("%(ref)s is being deleted")))
    return known(body)


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
        return replace(
            seen,
            message=_about(
                ref, gettext_noop("waiting for the cluster to see the change of %(ref)s")
            ),
        )
    if value_at(body, "spec", "paused") is True:
        message = _about(
            ref, gettext_noop("%(ref)s is paused: nothing rolls out until it is resumed")
        )
        return replace(seen, state=RolloutState.READY, message=message)
    if condition(body, "Progressing").get("reason") == "ProgressDeadlineExceeded":
        return _held_up(
            body,
            replace(
                seen,
                state=RolloutState.FAILED,
                reason="ProgressDeadlineExceeded",
                message=_about(ref, gettext_noop("%(ref)s exceeded its progress deadline")),
            ),
        )
    old = int_at(body, "status", "replicas") - updated
    if updated < desired:
        return _held_up(body, replace(seen, message=_updated(updated, desired)))
    if old > 0:
        return replace(
            seen,
            message=Words(
                gettext_noop("%(number)s old pods are still to be removed"), {"number": old}
            ),
        )
    if available < updated:
        message = Words(
            gettext_noop("%(number)s of %(all)s updated pods are available"),
            {"number": available, "all": updated},
        )
        return replace(seen, message=message)
    return replace(
        seen, state=RolloutState.READY, message=_about(ref, gettext_noop("%(ref)s is rolled out"))
    )


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
    done = replace(
        seen, state=RolloutState.READY, message=_about(ref, gettext_noop("%(ref)s is rolled out"))
    )
    if text_at(body, "spec", "updateStrategy", "type") == "OnDelete":
        return done
    if not is_observed(body):
        return replace(
            seen,
            message=_about(
                ref, gettext_noop("waiting for the cluster to see the change of %(ref)s")
            ),
        )
    if ready < desired:
        return replace(
            seen,
            message=Words(
                gettext_noop("%(number)s of %(all)s pods are ready"),
                {"number": ready, "all": desired},
            ),
        )
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
    done = replace(
        seen, state=RolloutState.READY, message=_about(ref, gettext_noop("%(ref)s is rolled out"))
    )
    if text_at(body, "spec", "updateStrategy", "type") == "OnDelete":
        return done
    if not is_observed(body):
        return replace(
            seen,
            message=_about(
                ref, gettext_noop("waiting for the cluster to see the change of %(ref)s")
            ),
        )
    if updated < desired:
        return replace(seen, message=_updated(updated, desired))
    if available < desired:
        return replace(
            seen,
            message=Words(
                gettext_noop("%(number)s of %(all)s pods are available"),
                {"number": available, "all": desired},
            ),
        )
    return done


def judge_job(body: Body) -> Rollout:
    """A Job is ready when it is complete, and failed when the cluster gave it up."""
    ref = ref_of(body)
    desired = int_at(body, "spec", "completions", default=1)
    succeeded = int_at(body, "status", "succeeded")
    seen = Rollout(
        ref=ref,
        state=RolloutState.PROGRESSING,
        message=Words(
            gettext_noop("%(number)s of %(all)s pods have succeeded"),
            {"number": succeeded, "all": desired},
        ),
        desired=desired,
        updated=int_at(body, "status", "active"),
        ready=int_at(body, "status", "ready"),
        available=succeeded,
    )
    failed = condition(body, "Failed")
    if failed.get("status") == "True":
        why = text_at(failed, "message") or Words(gettext_noop("the job failed"))
        reason = text_at(failed, "reason")
        return replace(
            seen, state=RolloutState.FAILED, reason=reason, message=joined([str(ref), why], by=": ")
        )
    if condition(body, "Complete").get("status") == "True":
        return replace(
            seen, state=RolloutState.READY, message=_about(ref, gettext_noop("%(ref)s is complete"))
        )
    if value_at(body, "spec", "suspend") is True:
        return replace(
            seen,
            state=RolloutState.READY,
            message=_about(ref, gettext_noop("%(ref)s is suspended")),
        )
    return seen


def judge_pod(body: Body) -> Rollout:
    """A Pod is ready when it is Ready or has succeeded."""
    ref, pod = ref_of(body), pod_state(body)
    seen = Rollout(
        ref=ref,
        state=RolloutState.PROGRESSING,
        message=Words(gettext_noop("the pod is %(phase)s"), {"phase": pod.phase or "Pending"}),
        desired=1,
        updated=1,
        ready=int(pod.ready),
        available=int(pod.ready),
    )
    if pod.phase == "Succeeded":
        return replace(
            seen,
            state=RolloutState.READY,
            message=_about(ref, gettext_noop("%(ref)s has succeeded")),
        )
    if pod.ready:
        return replace(
            seen, state=RolloutState.READY, message=_about(ref, gettext_noop("%(ref)s is ready"))
        )
    if pod.phase == "Failed":
        message = joined(
            filter(None, (Words(gettext_noop("the pod failed")), pod.reason, pod.message)), by=": "
        )
        failed = replace(seen, state=RolloutState.FAILED, reason=pod.reason, message=message)
        return replace(failed, pods=(pod,))
    return with_pods(seen, (pod,))


def judge_claim(body: Body) -> Rollout:
    """A PersistentVolumeClaim is ready when it is bound."""
    ref, phase = ref_of(body), text_at(body, "status", "phase")
    if phase == "Bound":
        return Rollout(
            ref=ref, state=RolloutState.READY, message=_about(ref, gettext_noop("%(ref)s is bound"))
        )
    if phase == "Lost":
        message = _about(ref, gettext_noop("%(ref)s has lost its volume"))
        return Rollout(ref=ref, state=RolloutState.FAILED, reason="Lost", message=message)
    return _going(ref, Words(gettext_noop("no volume is bound to it yet")))


def judge_service(body: Body) -> Rollout:
    """A Service of type LoadBalancer is ready when it has an address; any other exists."""
    ref = ref_of(body)
    waits = text_at(body, "spec", "type") == "LoadBalancer"
    if waits and not objects_at(body, "status", "loadBalancer", "ingress"):
        words = Words(gettext_noop("no load balancer has given it an address yet"))
        return _going(ref, words)
    return _exists(ref)


def judge_definition(body: Body) -> Rollout:
    """A CustomResourceDefinition is ready when its kind is served."""
    ref, names = ref_of(body), condition(body, "NamesAccepted")
    if names.get("status") == "False":
        return Rollout(
            ref=ref,
            state=RolloutState.FAILED,
            reason=text_at(names, "reason"),
            message=Words(
                gettext_noop("its names are not accepted: %(reason)s"),
                {"reason": text_at(names, "message")},
            ),
        )
    if condition(body, "Established").get("status") == "True":
        return Rollout(
            ref=ref,
            state=RolloutState.READY,
            message=_about(ref, gettext_noop("%(ref)s is established")),
        )
    return _going(ref, Words(gettext_noop("its kind is not served yet")))


def judge_conditions(body: Body) -> Rollout:
    """Any other kind: by the conditions Stalled, Reconciling and Ready, where it has them."""
    ref = ref_of(body)
    if int_at(body, "status", "observedGeneration") and not is_observed(body):
        return _going(
            ref, _about(ref, gettext_noop("waiting for the cluster to see the change of %(ref)s"))
        )
    stalled = condition(body, "Stalled")
    if stalled.get("status") == "True":
        why = text_at(stalled, "message") or Words(gettext_noop("it is stalled"))
        reason = text_at(stalled, "reason") or "Stalled"
        return Rollout(ref=ref, state=RolloutState.FAILED, reason=reason, message=why)
    reconciling, ready = condition(body, "Reconciling"), condition(body, "Ready")
    for told, waits in ((reconciling, "True"), (ready, "False"), (ready, "Unknown")):
        if told.get("status") == waits:
            reason = text_at(told, "reason")
            why = text_at(told, "message").rstrip(": ") or _not_ready(reason)
            return replace(_going(ref, why), reason=reason)
    return _exists(ref)


JUDGES: dict[tuple[str, str], Callable[[Body], Rollout]] = {
    ("apps", "Deployment"): judge_deployment,
    ("apps", "StatefulSet"): judge_stateful_set,
    ("apps", "DaemonSet"): judge_daemon_set,
    ("batch", "Job"): judge_job,
    ("", "Pod"): judge_pod,
    ("", "PersistentVolumeClaim"): judge_claim,
    ("", "Service"): judge_service,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): judge_definition,
}
POD_OWNERS = frozenset({"Deployment", "StatefulSet", "DaemonSet", "Job"})


def has_pods(body: Body) -> bool:
    """Whether the object's rollout is one of pods that it owns."""
    return text_at(body, "kind") in POD_OWNERS and _group(body) in ("apps", "batch")


def is_observed(body: Body) -> bool:
    """Whether the status speaks of the present spec; until then its counters are of the past."""
    generation = int_at(body, "metadata", "generation")
    return int_at(body, "status", "observedGeneration") >= max(generation, 1)


def with_pods(rollout: Rollout, pods: Sequence[PodState]) -> Rollout:
    """The rollout with its pods: a pod that cannot start fails it, with the pod's own reason."""
    rollout = replace(rollout, pods=tuple(pods))
    hindered = sorted((pod for pod in pods if pod.reason), key=lambda pod: pod.name)
    worst = next((pod for pod in hindered if pod.is_hopeless), None)
    if worst is not None:
        message = joined([worst.reason, worst.message or worst.name], by=": ")
        return replace(rollout, state=RolloutState.FAILED, reason=worst.reason, message=message)
    if not hindered:
        return rollout
    first = hindered[0]
    why = joined(filter(None, (first.reason, first.message.rstrip(": "))), by=": ")
    pod = Words(gettext_noop("pod %(name)s: %(reason)s"), {"name": first.name, "reason": why})
    message = joined([rollout.message, pod], by="; ")
    return replace(rollout, reason=rollout.reason or first.reason, message=message)


def newest_template_hash(replica_sets: Iterable[Body], owner_uid: str) -> str:
    """The pod-template-hash of the owner's newest ReplicaSet; empty while there is none."""
    newest = max(owned_by(replica_sets, owner_uid), key=revision_of, default=None)
    return text_at(newest, "metadata", "labels", TEMPLATE_HASH_LABEL) if newest else ""


def owned_by(bodies: Iterable[Body], owner_uid: str) -> list[Body]:
    """Those that name this object as an owner."""
    return [body for body in bodies if is_owned(body, owner_uid)]


def revision_of(body: Body) -> int:
    """The revision that the Deployment controller has given a Deployment or a ReplicaSet."""
    text = text_at(body, "metadata", "annotations", REVISION_ANNOTATION)
    return int(text) if text.isdigit() else 0


def label_selector(body: Body) -> str:
    """The ``spec.selector.matchLabels`` of a workload, as a list call takes it."""
    labels = texts_at(body, "spec", "selector", "matchLabels")
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()))


def _held_up(body: Body, rollout: Rollout) -> Rollout:
    """Tells why no pod appears: a quota or an admission rule refuses them."""
    failure = condition(body, "ReplicaFailure")
    if failure.get("status") != "True":
        return rollout
    reason, why = text_at(failure, "reason"), text_at(failure, "message")
    told = joined([rollout.message, joined([reason, why], by=": ")], by="; ")
    return replace(rollout, reason=rollout.reason or reason, message=told)


def _going(ref: ObjectRef, message: str) -> Rollout:
    return Rollout(ref=ref, state=RolloutState.PROGRESSING, message=message)


def _exists(ref: ObjectRef) -> Rollout:
    return Rollout(
        ref=ref, state=RolloutState.READY, message=_about(ref, gettext_noop("%(ref)s exists"))
    )


def _group(body: Body) -> str:
    return text_at(body, "apiVersion").rpartition("/")[0]


def _about(ref: ObjectRef, text: str) -> Words:
    return Words(text, {"ref": str(ref)})


def _not_ready(reason: str) -> Words:
    if reason:
        return Words(gettext_noop("it is not ready: %(reason)s"), {"reason": reason})
    return Words(gettext_noop("it is not ready"))


def _updated(updated: int, wanted: int) -> Words:
    said = {"number": updated, "all": wanted}
    return Words(gettext_noop("%(number)s of %(all)s pods are updated"), said)
