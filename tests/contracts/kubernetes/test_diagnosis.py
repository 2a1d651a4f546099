"""Rollouts that do not get on, and what is found out about them."""

from __future__ import annotations

import base64
import json
from typing import Any

from endpoints.clients.kubernetes import Kubernetes
from endpoints.clients.kubernetes_diagnosis import Diagnosis, diagnose
from endpoints.clients.rollout import Rollout, RolloutState
from tests.contracts.kubernetes.manifests import (
    deployment,
    end_of_rollout,
    hindered_rollout,
    pull_secret,
)


def failed(cluster: Kubernetes, manifest: dict[str, Any]) -> tuple[Rollout, Diagnosis]:
    rollout = end_of_rollout(cluster, cluster.apply(manifest).object.ref)
    assert rollout.state is RolloutState.FAILED
    return rollout, diagnose(cluster, rollout)


def private(namespace: str, *secrets: str) -> dict[str, Any]:
    manifest = deployment(namespace, "registry.example.com/shop/private:1.0")
    named = [{"name": name} for name in secrets]
    manifest["spec"]["template"]["spec"]["imagePullSecrets"] = named
    return manifest


def logins(host: str) -> str:
    auth = base64.b64encode(b"jo:pw").decode()
    return json.dumps({"auths": {host: {"auth": auth}}})


def test_an_image_that_does_not_exist_is_told_with_its_registry(
    cluster: Kubernetes, namespace: str
) -> None:
    _, diagnosis = failed(cluster, deployment(namespace, "demo/missing:1.0"))

    assert diagnosis.reason == "ImagePullBackOff"
    assert "docker.io does not have demo/missing:1.0" in diagnosis.message
    assert any("Failed to pull image" in line for line in diagnosis.events)


def test_a_private_image_without_a_pull_secret_is_told_so(
    cluster: Kubernetes, namespace: str
) -> None:
    _, diagnosis = failed(cluster, private(namespace))

    assert (
        "registry.example.com answered 401 for registry.example.com/shop/private:1.0, "
        "and the pod names no imagePullSecret" in diagnosis.message
    )


def test_a_private_image_with_a_pull_secret_starts(cluster: Kubernetes, namespace: str) -> None:
    cluster.apply(pull_secret(namespace, logins("registry.example.com")))

    ref = cluster.apply(private(namespace, "registry")).object.ref

    assert end_of_rollout(cluster, ref).state is RolloutState.READY


def test_a_container_that_ends_again_and_again_fails_with_its_last_words(
    cluster: Kubernetes, namespace: str
) -> None:
    rollout, diagnosis = failed(cluster, deployment(namespace, "demo/crash:1.0"))

    assert rollout.reason == "CrashLoopBackOff"
    assert "container web exited with 1" in diagnosis.message
    assert "fatal: cannot reach the database at db:5432" in diagnosis.message
    assert diagnosis.logs[0].lines[0] == "starting"


def test_a_pod_that_does_not_become_ready_is_told_from_one_that_does_not_start(
    cluster: Kubernetes, namespace: str
) -> None:
    ref = cluster.apply(deployment(namespace, "demo/sick:1.0")).object.ref
    rollout = hindered_rollout(cluster, ref, lambda pods: all(p.phase == "Running" for p in pods))

    diagnosis = diagnose(cluster, rollout)

    assert rollout.state is RolloutState.PROGRESSING
    assert "runs and is not ready" in diagnosis.message
    assert diagnosis.logs


def test_pods_that_no_node_has_room_for_are_unschedulable(
    real_cluster: Kubernetes, namespace: str
) -> None:
    manifest = deployment(namespace)
    container = manifest["spec"]["template"]["spec"]["containers"][0]
    container["resources"] = {"requests": {"cpu": "999"}}

    ref = real_cluster.apply(manifest).object.ref
    rollout = hindered_rollout(real_cluster, ref, lambda pods: any(pod.reason for pod in pods))

    assert rollout.reason == "Unschedulable"
    assert "Insufficient cpu" in rollout.message


def test_a_quota_that_refuses_pods_is_told_at_once(
    real_cluster: Kubernetes, namespace: str
) -> None:
    metadata = {"name": "few", "namespace": namespace}
    quota: dict[str, Any] = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata}
    real_cluster.apply({**quota, "spec": {"hard": {"pods": "0"}}})

    ref = real_cluster.apply(deployment(namespace)).object.ref
    rollout = hindered_rollout(
        real_cluster, ref, lambda _: True, lambda seen: "quota" in seen.message
    )

    assert "exceeded quota: few" in rollout.message
