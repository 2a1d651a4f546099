"""Manifests that the contract tests send, and a patient look at what comes of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

from endpoints.clients.kubernetes import Kubernetes, ObjectRef
from endpoints.clients.kubernetes_rollouts import look
from endpoints.clients.pod_states import PodState
from endpoints.clients.rollout import Rollout, RolloutState

Looked = TypeVar("Looked")
PATIENCE_SECONDS = 20.0


def deployment(namespace: str, image: str = "demo/web:1.0", **spec: Any) -> dict[str, Any]:
    labels = {"app": "web"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": namespace, "labels": labels},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "web", "image": image}]},
            },
            **spec,
        },
    }


def config_map(namespace: str, name: str = "settings", **data: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace, "labels": {"name": name}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def pull_secret(namespace: str, config: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "registry", "namespace": namespace},
        "type": "kubernetes.io/dockerconfigjson",
        "stringData": {".dockerconfigjson": config},
    }


def widget_with_definition(namespace: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The definition of a kind of this namespace's own, and an object of it."""
    group = f"{namespace}.example.com"
    size = {"type": "object", "properties": {"size": {"type": "integer"}}}
    schema = {"type": "object", "properties": {"spec": size}}
    version = {"name": "v1", "served": True, "storage": True}
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"widgets.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": "widgets", "singular": "widget", "kind": "Widget"},
            "versions": [{**version, "schema": {"openAPIV3Schema": schema}}],
        },
    }
    metadata = {"name": "one", "namespace": namespace}
    widget = {"apiVersion": f"{group}/v1", "kind": "Widget", "metadata": metadata}
    return definition, widget | {"spec": {"size": 3}}


def image_of(body: Any) -> str:
    return str(body["spec"]["template"]["spec"]["containers"][0]["image"])


def wait_for(look: Callable[[], Looked], good: Callable[[Looked], bool]) -> Looked:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not good(seen := look()):
        assert time.monotonic() < deadline, f"still {seen}"
        time.sleep(0.02)
    return seen


def end_of_rollout(cluster: Kubernetes, ref: ObjectRef) -> Rollout:
    return wait_for(
        lambda: look(cluster, ref),
        lambda rollout: rollout.state is not RolloutState.PROGRESSING,
    )


def hindered_rollout(
    cluster: Kubernetes,
    ref: ObjectRef,
    is_hindered: Callable[[tuple[PodState, ...]], bool],
    says: Callable[[Rollout], bool] = lambda rollout: bool(rollout.pods),
) -> Rollout:
    return wait_for(
        lambda: look(cluster, ref),
        lambda rollout: says(rollout) and is_hindered(rollout.pods),
    )
