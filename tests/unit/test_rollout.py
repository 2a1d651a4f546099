from __future__ import annotations

from typing import Any

import pytest

from endpoints.clients.pod_states import PodState, pod_state
from endpoints.clients.rollout import (
    RolloutState,
    judge,
    judge_deployment,
    label_selector,
    newest_template_hash,
    with_pods,
)


def deployment(*, generation: int = 2, **status: Any) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "shop", "generation": generation},
        "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "web", "a": "b"}}},
        "status": {"observedGeneration": 2, **status},
    }


def progressing(reason: str, status: str = "True") -> list[dict[str, str]]:
    return [{"type": "Progressing", "status": status, "reason": reason}]


def workload(kind: str, spec: dict[str, Any], status: dict[str, Any]) -> dict[str, Any]:
    api_version = "batch/v1" if kind == "Job" else "apps/v1"
    metadata = {"name": "it", "generation": 1}
    return {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": metadata,
        "spec": spec,
        "status": {"observedGeneration": 1, **status},
    }


def pod(reason: str = "", message: str = "") -> PodState:
    return PodState(name="web-x", phase="Pending", ready=False, reason=reason, message=message)


def test_counters_of_the_past_do_not_count() -> None:
    body = deployment(generation=3, replicas=3, updatedReplicas=3, availableReplicas=3)

    rollout = judge_deployment(body)

    assert rollout.state is RolloutState.PROGRESSING
    assert rollout.message == "waiting for the cluster to see the change of deployment/web"


def test_a_deployment_without_any_status_is_not_ready() -> None:
    body = deployment()
    del body["status"]

    assert judge_deployment(body).state is RolloutState.PROGRESSING


@pytest.mark.parametrize(
    ("status", "message"),
    [
        ({}, "0 of 3 pods are updated"),
        ({"replicas": 4, "updatedReplicas": 1}, "1 of 3 pods are updated"),
        ({"replicas": 5, "updatedReplicas": 3}, "2 old pods are still to be removed"),
        (
            {"replicas": 3, "updatedReplicas": 3, "availableReplicas": 2},
            "2 of 3 updated pods are available",
        ),
    ],
)
def test_a_deployment_on_its_way_says_what_is_missing(status: dict[str, int], message: str) -> None:
    rollout = judge_deployment(deployment(**status))

    assert (rollout.state, rollout.message) == (RolloutState.PROGRESSING, message)


def test_a_deployment_with_every_pod_updated_and_available_is_ready() -> None:
    body = deployment(replicas=3, updatedReplicas=3, readyReplicas=3, availableReplicas=3)

    rollout = judge_deployment(body)

    assert rollout.state is RolloutState.READY
    assert (rollout.desired, rollout.updated, rollout.ready, rollout.available) == (3, 3, 3, 3)


def test_a_deployment_that_missed_its_deadline_has_failed() -> None:
    body = deployment(conditions=progressing("ProgressDeadlineExceeded", "False"))

    rollout = judge_deployment(body)

    assert rollout.state is RolloutState.FAILED
    assert rollout.reason == "ProgressDeadlineExceeded"


def test_a_deadline_missed_by_an_earlier_template_does_not_fail_this_one() -> None:
    conditions = progressing("ProgressDeadlineExceeded", "False")

    rollout = judge_deployment(deployment(generation=3, conditions=conditions))

    assert rollout.state is RolloutState.PROGRESSING


def test_a_quota_that_lets_no_pod_through_is_told() -> None:
    failure = {
        "type": "ReplicaFailure",
        "status": "True",
        "reason": "FailedCreate",
        "message": "exceeded quota: pods",
    }

    rollout = judge_deployment(deployment(conditions=[failure]))

    assert rollout.state is RolloutState.PROGRESSING
    assert rollout.message == "0 of 3 pods are updated; FailedCreate: exceeded quota: pods"


@pytest.mark.parametrize("reason", ["ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName"])
def test_a_pod_that_can_never_start_fails_the_rollout_at_once(reason: str) -> None:
    rollout = with_pods(judge_deployment(deployment()), [pod(), pod(reason, "no such image")])

    assert rollout.state is RolloutState.FAILED
    assert (rollout.reason, rollout.message) == (reason, f"{reason}: no such image")


@pytest.mark.parametrize("reason", ["ErrImagePull", "CrashLoopBackOff", "Unschedulable"])
def test_a_pod_that_may_still_start_is_told_and_waited_for(reason: str) -> None:
    rollout = with_pods(judge_deployment(deployment()), [pod(reason, "not yet")])

    assert (rollout.state, rollout.reason) == (RolloutState.PROGRESSING, reason)
    assert rollout.message.endswith(f"pod web-x: {reason}: not yet")


def test_the_reason_of_a_missed_deadline_stays_beside_that_of_the_pod() -> None:
    missed = judge_deployment(deployment(conditions=progressing("ProgressDeadlineExceeded")))

    rollout = with_pods(missed, [pod("CrashLoopBackOff", "restarting")])

    assert rollout.reason == "ProgressDeadlineExceeded"
    assert "CrashLoopBackOff: restarting" in rollout.message


@pytest.mark.parametrize(
    ("waiting", "reason"),
    [
        ({"reason": "ContainerCreating"}, ""),
        ({"reason": "ImagePullBackOff", "message": "Back-off"}, "ImagePullBackOff"),
    ],
)
def test_a_pod_tells_what_hinders_it(waiting: dict[str, Any], reason: str) -> None:
    state = pod_state(
        {
            "metadata": {"name": "web-x"},
            "status": {"phase": "Pending", "containerStatuses": [{"state": {"waiting": waiting}}]},
        }
    )

    assert (state.name, state.phase, state.ready, state.reason) == (
        "web-x",
        "Pending",
        False,
        reason,
    )


def test_a_pod_without_a_node_says_why() -> None:
    condition: dict[str, Any] = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": "0/3 nodes are available: insufficient cpu",
    }

    state = pod_state({"metadata": {"name": "web-x"}, "status": {"conditions": [condition]}})

    assert (state.reason, state.message) == (
        "Unschedulable",
        "0/3 nodes are available: insufficient cpu",
    )


def test_the_newest_replica_set_of_the_owner_gives_the_hash() -> None:
    def replica_set(owner: str, revision: str, template_hash: str) -> dict[str, Any]:
        return {
            "metadata": {
                "ownerReferences": [{"uid": owner}],
                "annotations": {"deployment.kubernetes.io/revision": revision},
                "labels": {"pod-template-hash": template_hash},
            }
        }

    sets = [
        replica_set("mine", "10", "new"),
        replica_set("mine", "9", "old"),
        replica_set("other", "11", "strange"),
    ]

    assert newest_template_hash(sets, "mine") == "new"
    assert newest_template_hash(sets, "nobody") == ""


def test_a_selector_is_written_as_a_list_call_takes_it() -> None:
    assert label_selector(deployment()) == "a=b,app=web"


@pytest.mark.parametrize(
    ("spec", "status", "state"),
    [
        ({"replicas": 2}, {"readyReplicas": 1}, RolloutState.PROGRESSING),
        (
            {"replicas": 2},
            {"readyReplicas": 2, "updateRevision": "b", "currentRevision": "a"},
            RolloutState.PROGRESSING,
        ),
        (
            {"replicas": 2},
            {"readyReplicas": 2, "updateRevision": "b", "currentRevision": "b"},
            RolloutState.READY,
        ),
        (
            {"replicas": 3, "updateStrategy": {"rollingUpdate": {"partition": 2}}},
            {"readyReplicas": 3, "updatedReplicas": 1, "updateRevision": "b"},
            RolloutState.READY,
        ),
        ({"replicas": 2, "updateStrategy": {"type": "OnDelete"}}, {}, RolloutState.READY),
    ],
)
def test_a_stateful_set_is_judged_as_kubectl_does(
    spec: dict[str, Any], status: dict[str, Any], state: RolloutState
) -> None:
    assert judge(workload("StatefulSet", spec, status)).state is state


@pytest.mark.parametrize(
    ("updated", "available", "state"),
    [
        (1, 2, RolloutState.PROGRESSING),
        (2, 1, RolloutState.PROGRESSING),
        (2, 2, RolloutState.READY),
    ],
)
def test_a_daemon_set_is_ready_on_every_node(
    updated: int, available: int, state: RolloutState
) -> None:
    status = {
        "desiredNumberScheduled": 2,
        "updatedNumberScheduled": updated,
        "numberAvailable": available,
    }

    assert judge(workload("DaemonSet", {}, status)).state is state


@pytest.mark.parametrize(
    ("kind", "state"),
    [
        ("Complete", RolloutState.READY),
        ("Failed", RolloutState.FAILED),
        ("Suspended", RolloutState.PROGRESSING),
    ],
)
def test_a_job_ends_complete_or_failed(kind: str, state: RolloutState) -> None:
    conditions = [{"type": kind, "status": "True", "reason": "BackoffLimitExceeded"}]

    assert judge(workload("Job", {}, {"conditions": conditions})).state is state


def test_a_kind_without_a_rollout_is_ready_once_it_exists() -> None:
    rollout = judge({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}})

    assert (rollout.state, rollout.message) == (RolloutState.READY, "service/web exists")


def plain(kind: str, api_version: str = "v1", **parts: Any) -> dict[str, Any]:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": "it"}, **parts}


CRD = ("CustomResourceDefinition", "apiextensions.k8s.io/v1")


def conditions(**states: str) -> dict[str, Any]:
    told = [
        {"type": kind, "status": state, "message": "so it is"} for kind, state in states.items()
    ]
    return {"status": {"conditions": told}}


@pytest.mark.parametrize(
    ("body", "state"),
    [
        (plain("ConfigMap"), RolloutState.READY),
        (plain("PersistentVolumeClaim"), RolloutState.PROGRESSING),
        (plain("PersistentVolumeClaim", status={"phase": "Bound"}), RolloutState.READY),
        (plain("PersistentVolumeClaim", status={"phase": "Lost"}), RolloutState.FAILED),
        (plain("Service", spec={"type": "ClusterIP"}), RolloutState.READY),
        (plain("Service", spec={"type": "LoadBalancer"}), RolloutState.PROGRESSING),
        (
            plain(
                "Service",
                spec={"type": "LoadBalancer"},
                status={"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}},
            ),
            RolloutState.READY,
        ),
        (plain(*CRD), RolloutState.PROGRESSING),
        (plain(*CRD, **conditions(Established="True")), RolloutState.READY),
        (plain(*CRD, **conditions(NamesAccepted="False")), RolloutState.FAILED),
        (plain("Pod", status={"phase": "Succeeded"}), RolloutState.READY),
        (plain("Pod", status={"phase": "Failed", "reason": "Evicted"}), RolloutState.FAILED),
        (plain("Pod", status={"phase": "Running"}), RolloutState.PROGRESSING),
        (
            plain("Pod", status={"phase": "Running", **conditions(Ready="True")["status"]}),
            RolloutState.READY,
        ),
        (plain("Widget", "example.com/v1", **conditions(Ready="True")), RolloutState.READY),
        (plain("Widget", "example.com/v1", **conditions(Ready="False")), RolloutState.PROGRESSING),
        (
            plain("Widget", "example.com/v1", **conditions(Reconciling="True", Ready="True")),
            RolloutState.PROGRESSING,
        ),
        (plain("Widget", "example.com/v1", **conditions(Stalled="True")), RolloutState.FAILED),
        (
            {
                **plain("Widget", "example.com/v1", status={"observedGeneration": 1}),
                "metadata": {"name": "it", "generation": 2},
            },
            RolloutState.PROGRESSING,
        ),
        (
            {**plain("ConfigMap"), "metadata": {"name": "it", "deletionTimestamp": "2026-01-01"}},
            RolloutState.PROGRESSING,
        ),
    ],
)
def test_kinds_without_pods_of_their_own_are_judged_by_their_status(
    body: dict[str, Any], state: RolloutState
) -> None:
    assert judge(body).state is state


def test_a_paused_deployment_is_not_waited_for() -> None:
    body = deployment()
    body["spec"]["paused"] = True

    assert judge(body).state is RolloutState.READY
    assert "paused" in judge(body).message


def test_a_deadline_that_passed_names_the_quota_that_was_in_the_way() -> None:
    failure = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate"}
    told = [*progressing("ProgressDeadlineExceeded", "False"), {**failure, "message": "quota"}]

    rollout = judge(deployment(conditions=told))

    assert rollout.state is RolloutState.FAILED
    assert rollout.message.endswith("FailedCreate: quota")


@pytest.mark.parametrize(
    ("restarts", "state"), [(1, RolloutState.PROGRESSING), (3, RolloutState.FAILED)]
)
def test_a_crash_loop_may_mend_at_first_and_fails_after_some_restarts(
    restarts: int, state: RolloutState
) -> None:
    container: dict[str, Any] = {
        "name": "web",
        "restartCount": restarts,
        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}},
        "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
    }

    crashing = pod_state({"status": {"containerStatuses": [container]}})
    rollout = with_pods(judge(deployment()), [crashing])

    assert rollout.state is state
    assert "container web exited with 137 (OOMKilled)" in rollout.message


def test_a_container_that_ended_badly_hinders_its_pod() -> None:
    ended: dict[str, Any] = {"terminated": {"exitCode": 2, "reason": "Error"}}
    container: dict[str, Any] = {"name": "web", "state": ended}

    pod = pod_state({"status": {"containerStatuses": [container]}})

    assert (pod.reason, pod.message) == ("Error", "container web exited with 2")
