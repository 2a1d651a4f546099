"""Rollouts of the kinds that the stand-in does not play, by real controllers."""

from __future__ import annotations

from typing import Any

import pytest

from endpoints.clients.base import Forbidden
from endpoints.clients.kubernetes import Kubernetes
from endpoints.clients.kubernetes_rollouts import look
from endpoints.clients.rollout import RolloutState
from tests.cluster.kubeconfig import real_access
from tests.contracts.kubernetes.manifests import deployment, end_of_rollout, hindered_rollout

LABELS = {"app": "web"}


def workload(namespace: str, kind: str, image: str = "demo/web:1.0", **spec: Any) -> dict[str, Any]:
    template = deployment(namespace, image)["spec"]["template"]
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": "web", "namespace": namespace},
        "spec": {"selector": {"matchLabels": LABELS}, "template": template, **spec},
    }


def job(namespace: str, image: str) -> dict[str, Any]:
    template = deployment(namespace, image)["spec"]["template"]
    template["spec"]["restartPolicy"] = "Never"
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "once", "namespace": namespace},
        "spec": {"template": template, "backoffLimit": 0},
    }


@pytest.mark.parametrize(
    ("kind", "spec"),
    [("StatefulSet", {"serviceName": "web", "replicas": 2}), ("DaemonSet", {})],
)
def test_a_set_is_rolled_out_and_a_broken_update_fails(
    real_cluster: Kubernetes, namespace: str, kind: str, spec: dict[str, Any]
) -> None:
    ref = real_cluster.apply(workload(namespace, kind, **spec)).object.ref
    first = end_of_rollout(real_cluster, ref)

    real_cluster.apply(workload(namespace, kind, "demo/missing:2.0", **spec))
    second = end_of_rollout(real_cluster, ref)

    assert first.state is RolloutState.READY
    assert second.state is RolloutState.FAILED
    assert second.reason == "ImagePullBackOff"


def test_a_job_is_ready_when_it_is_complete(real_cluster: Kubernetes, namespace: str) -> None:
    ref = real_cluster.apply(job(namespace, "demo/migrate:1.0")).object.ref

    rollout = end_of_rollout(real_cluster, ref)

    assert (rollout.state, rollout.message) == (RolloutState.READY, "job/once is complete")


def test_a_job_that_fails_says_so(real_cluster: Kubernetes, namespace: str) -> None:
    ref = real_cluster.apply(job(namespace, "demo/crash:1.0")).object.ref

    rollout = end_of_rollout(real_cluster, ref)

    assert rollout.state is RolloutState.FAILED
    assert rollout.reason == "BackoffLimitExceeded"


def test_a_claim_is_ready_when_a_volume_is_bound_to_it(
    real_cluster: Kubernetes, namespace: str
) -> None:
    size: Any = {"storage": "1Gi"}
    volume = real_cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": namespace},
            "spec": {
                "capacity": size,
                "accessModes": ["ReadWriteOnce"],
                "storageClassName": namespace,
                "hostPath": {"path": "/tmp/never-used"},  # noqa: S108  nothing is mounted
            },
        }
    )
    claim = real_cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "data", "namespace": namespace},
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "storageClassName": namespace,
                "resources": {"requests": size},
            },
        }
    )

    assert end_of_rollout(real_cluster, claim.object.ref).state is RolloutState.READY
    real_cluster.delete(volume.object.ref)


def test_a_load_balancer_without_an_address_is_waited_for(
    real_cluster: Kubernetes, namespace: str
) -> None:
    ports = [{"port": 80, "protocol": "TCP"}]
    spec = {"type": "LoadBalancer", "selector": LABELS, "ports": ports}
    metadata = {"name": "web", "namespace": namespace}
    service: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": spec,
    }

    ref = real_cluster.apply(service).object.ref

    assert look(real_cluster, ref).state is RolloutState.PROGRESSING


def test_many_objects_of_a_namespace_are_looked_at_together(
    real_cluster: Kubernetes, namespace: str
) -> None:
    refs = []
    for number in range(4):
        manifest = deployment(namespace, "demo/missing:1.0" if number == 3 else "demo/web:1.0")
        labels = {"app": f"web-{number}"}
        manifest["metadata"]["name"] = f"web-{number}"
        manifest["spec"]["selector"]["matchLabels"] = labels
        manifest["spec"]["template"]["metadata"]["labels"] = labels
        refs.append(real_cluster.apply(manifest).object.ref)

    states = [end_of_rollout(real_cluster, ref).state for ref in refs]

    assert states == [RolloutState.READY] * 3 + [RolloutState.FAILED]


def test_a_reader_may_look_and_not_change(real_cluster: Kubernetes, namespace: str) -> None:
    access = real_access("reader")
    if access is None:
        pytest.skip("this cluster has no reader")
    real_cluster.apply(deployment(namespace))

    with Kubernetes(access) as reader:
        seen = reader.list("apps/v1", "Deployment", namespace=namespace)
        with pytest.raises(Forbidden, match='User "reader" cannot patch resource "deployments"'):
            reader.apply(deployment(namespace))

    assert len(seen) == 1


def test_a_certificate_signs_in(real_cluster: Kubernetes, namespace: str) -> None:
    access = real_access("certificate")
    if access is None:
        pytest.skip("this cluster has no login by certificate")

    with Kubernetes(access) as client:
        applied = client.apply(deployment(namespace))

    assert applied.object.ref.namespace == namespace


def test_pods_of_the_past_do_not_count(real_cluster: Kubernetes, namespace: str) -> None:
    ref = real_cluster.apply(deployment(namespace, "demo/missing:1.0")).object.ref
    end_of_rollout(real_cluster, ref)

    real_cluster.apply(deployment(namespace, "demo/crash:2.0"))
    rollout = hindered_rollout(real_cluster, ref, bool)

    assert "ImagePullBackOff" not in {pod.reason for pod in rollout.pods}
