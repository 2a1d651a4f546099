"""Manifests that the contract tests send, and a patient look at what comes of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

from endpoints.clients.kubernetes import Kubernetes, ObjectRef, Rollout, RolloutState

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
        lambda: cluster.rollout(ref),
        lambda rollout: rollout.state is not RolloutState.PROGRESSING,
    )
