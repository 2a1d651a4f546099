"""Rollouts that succeed, and rollouts that say why they do not."""

from __future__ import annotations

from endpoints.clients.kubernetes import Kubernetes
from endpoints.clients.kubernetes_rollouts import look
from endpoints.clients.rollout import RolloutState
from tests.contracts.kubernetes.manifests import (
    config_map,
    deployment,
    end_of_rollout,
    image_of,
    wait_for,
)


def test_a_new_image_is_rolled_out_to_every_pod(cluster: Kubernetes, namespace: str) -> None:
    ref = cluster.apply(deployment(namespace, "demo/web:1.0")).object.ref
    end_of_rollout(cluster, ref)

    cluster.apply(deployment(namespace, "demo/web:2.0"))
    rollout = end_of_rollout(cluster, ref)

    assert rollout.state is RolloutState.READY
    assert (rollout.desired, rollout.updated, rollout.available) == (2, 2, 2)
    assert image_of(cluster.get(ref).body) == "demo/web:2.0"
    wait_for(lambda: cluster.list("v1", "Pod", namespace=namespace), lambda pods: len(pods) == 2)


def test_an_image_that_cannot_be_pulled_fails_with_the_reason(
    cluster: Kubernetes, namespace: str
) -> None:
    ref = cluster.apply(deployment(namespace, "demo/missing:1.0")).object.ref

    rollout = end_of_rollout(cluster, ref)

    assert rollout.state is RolloutState.FAILED
    assert rollout.reason == "ImagePullBackOff"
    assert 'Back-off pulling image "demo/missing:1.0"' in rollout.message


def test_a_broken_update_leaves_the_old_pods_serving(cluster: Kubernetes, namespace: str) -> None:
    ref = cluster.apply(deployment(namespace, "demo/web:1.0")).object.ref
    end_of_rollout(cluster, ref)

    cluster.apply(deployment(namespace, "demo/missing:2.0"))
    rollout = end_of_rollout(cluster, ref)

    assert rollout.state is RolloutState.FAILED
    assert rollout.available == 2
    assert {pod.reason for pod in rollout.pods} == {"ImagePullBackOff"}


def test_a_rollout_mends_when_the_image_is_corrected(cluster: Kubernetes, namespace: str) -> None:
    ref = cluster.apply(deployment(namespace, "demo/missing:1.0")).object.ref
    end_of_rollout(cluster, ref)

    cluster.apply(deployment(namespace, "demo/web:1.0"))

    assert end_of_rollout(cluster, ref).state is RolloutState.READY


def test_an_image_that_is_no_reference_fails_and_changes_nothing_else(
    cluster: Kubernetes, namespace: str
) -> None:
    image = "demo/web:x\n  hostNetwork: true"

    applied = cluster.apply(deployment(namespace, image)).object
    rollout = end_of_rollout(cluster, applied.ref)

    assert rollout.reason == "InvalidImageName"
    assert image_of(applied.body) == image
    assert "'hostNetwork': True" not in str(applied.body)


def test_a_deployment_of_no_pods_is_ready(cluster: Kubernetes, namespace: str) -> None:
    ref = cluster.apply(deployment(namespace, replicas=0)).object.ref

    assert end_of_rollout(cluster, ref).state is RolloutState.READY


def test_an_object_without_a_rollout_is_ready_at_once(cluster: Kubernetes, namespace: str) -> None:
    ref = cluster.apply(config_map(namespace)).object.ref

    assert look(cluster, ref).state is RolloutState.READY


def test_events_tell_why_a_pod_does_not_start(cluster: Kubernetes, namespace: str) -> None:
    ref = cluster.apply(deployment(namespace, "demo/missing:1.0")).object.ref
    end_of_rollout(cluster, ref)

    def reasons() -> set[str]:
        events = cluster.list("v1", "Event", namespace=namespace)
        return {str(event.body["reason"]) for event in events}

    expected = {"ScalingReplicaSet", "SuccessfulCreate", "Failed", "BackOff"}
    wait_for(reasons, lambda seen: expected <= seen)
