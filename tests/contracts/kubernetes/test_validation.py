"""What an API server refuses with 422, and how selectors choose: one line per rule."""

from __future__ import annotations

from typing import Any

import pytest

from endpoints.clients.base import Conflict, Invalid
from endpoints.clients.kubernetes import Kubernetes
from tests.contracts.kubernetes.manifests import config_map, deployment, pull_secret


def service(namespace: str, ports: list[Any]) -> dict[str, Any]:
    metadata = {"name": "web", "namespace": namespace}
    spec = {"selector": {"app": "web"}, "ports": ports}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"replicas": -1}, "spec.replicas: Invalid value: -1"),
        ({"template": {}}, "spec.template.spec.containers: Required value"),
        ({"selector": None}, "spec.selector: Required value"),
    ],
)
def test_a_deployment_that_makes_no_sense_is_invalid(
    cluster: Kubernetes, namespace: str, change: dict[str, Any], told: str
) -> None:
    with pytest.raises(Invalid) as refused:
        cluster.create(deployment(namespace, **change))

    assert told in refused.value.user_message


def test_the_selector_of_a_deployment_cannot_change(cluster: Kubernetes, namespace: str) -> None:
    cluster.apply(deployment(namespace))
    other = deployment(namespace, selector={"matchLabels": {"app": "other"}})
    other["spec"]["template"]["metadata"]["labels"] = {"app": "other"}

    with pytest.raises(Invalid, match="field is immutable"):
        cluster.apply(other)


@pytest.mark.parametrize("name", ["Web", "web_1", "-web", ""])
def test_a_name_must_be_a_dns_name(cluster: Kubernetes, namespace: str, name: str) -> None:
    with pytest.raises(Invalid):
        cluster.create(config_map(namespace, name))


def test_a_tag_that_is_no_label_value_is_invalid_as_a_label(
    cluster: Kubernetes, namespace: str
) -> None:
    manifest = deployment(namespace)
    manifest["metadata"]["labels"]["version"] = "x\n  hostNetwork: true"

    with pytest.raises(Invalid, match="a valid label must be"):
        cluster.apply(manifest)


@pytest.mark.parametrize("ports", [[], [{"port": 0}], [{"name": "http"}]])
def test_a_service_needs_a_port_between_1_and_65535(
    cluster: Kubernetes, namespace: str, ports: list[Any]
) -> None:
    with pytest.raises(Invalid, match=r"spec\.ports"):
        cluster.create(service(namespace, ports))


def test_a_service_gets_an_address_and_a_target_port(cluster: Kubernetes, namespace: str) -> None:
    # Created: without a protocol, older servers cannot apply a port.
    body: Any = cluster.create(service(namespace, [{"port": 80}])).body

    assert body["spec"]["ports"] == [{"port": 80, "protocol": "TCP", "targetPort": 80}]
    assert body["spec"]["clusterIP"]


def test_the_type_of_a_secret_cannot_change(cluster: Kubernetes, namespace: str) -> None:
    cluster.apply(pull_secret(namespace, "{}"))

    with pytest.raises(Invalid, match="field is immutable"):
        cluster.apply(pull_secret(namespace, "{}") | {"type": "Opaque"})


def test_data_of_a_secret_must_be_base64(cluster: Kubernetes, namespace: str) -> None:
    manifest = pull_secret(namespace, "{}") | {"data": {"key": "*"}}

    with pytest.raises(Invalid, match="illegal base64"):
        cluster.create(manifest)


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ("name=first", ["first"]),
        ("name!=first", ["second"]),
        ("name in (first, third)", ["first"]),
        ("name notin (first)", ["second"]),
        ("name", ["first", "second"]),
        ("!name", []),
        ("name==first,name!=second", ["first"]),
    ],
)
def test_label_selectors_choose(
    cluster: Kubernetes, namespace: str, selector: str, names: list[str]
) -> None:
    for name in ("first", "second"):
        cluster.create(config_map(namespace, name))

    chosen = f"name notin (kube-root-ca.crt),{selector}"
    found = cluster.list("v1", "ConfigMap", namespace=namespace, label_selector=chosen)

    labelled = [item.ref.name for item in found if item.ref.name != "kube-root-ca.crt"]
    assert labelled == names


def test_a_manifest_of_a_version_that_is_past_conflicts(
    cluster: Kubernetes, namespace: str
) -> None:
    manifest = config_map(namespace, colour="blue")
    cluster.apply(manifest)
    manifest["metadata"]["resourceVersion"] = "1"

    with pytest.raises(Conflict, match="another version of the object"):
        cluster.apply(manifest)
