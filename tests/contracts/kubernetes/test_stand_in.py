"""Failures on purpose, the page and the memory of the stand-in: not for a real API server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from pytest_django.fixtures import Settings

from codestream.core.http import AddressRefused
from codestream.sandbox.kubernetes import KubernetesServer
from endpoints.clients.base import Invalid, RateLimited, ServerFault, Unreachable
from endpoints.clients.kubernetes import Change, ClusterAccess, Kubernetes
from endpoints.clients.kubernetes_rollouts import look
from endpoints.clients.rollout import RolloutState
from tests.conftest import TOKEN
from tests.contracts.kubernetes.manifests import (
    config_map,
    deployment,
    end_of_rollout,
    pull_secret,
    wait_for,
)


def fail(server: KubernetesServer, **wish: Any) -> None:
    body = json.dumps(wish).encode()
    with urlopen(Request(f"{server.url}/_control/fail", data=body)):
        pass


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_says_when_to_try_again(
    stand_in: KubernetesServer, cluster: Kubernetes, status: int
) -> None:
    fail(stand_in, verb="list", resource="namespaces", status=status)

    with pytest.raises(RateLimited) as refused:
        cluster.list("v1", "Namespace")

    assert refused.value.retryable
    assert refused.value.retry_at is not None


def test_a_fault_of_the_server_is_worth_another_try(
    stand_in: KubernetesServer, cluster: Kubernetes
) -> None:
    fail(stand_in, verb="apply", resource="configmaps", status=500)

    with pytest.raises(ServerFault) as refused:
        cluster.apply(config_map("default"))

    assert refused.value.retryable
    assert cluster.apply(config_map("default")).change is Change.CREATED


def test_a_value_of_a_secret_that_a_refused_patch_quotes_is_not_told(
    stand_in: KubernetesServer, cluster: Kubernetes
) -> None:
    ref = cluster.apply(pull_secret("default", json.dumps({"auths": {}}))).object.ref
    fail(stand_in, verb="patch", resource="secrets", webhook="strict", denial="hunter22 is weak")

    with pytest.raises(Invalid) as refused:
        cluster.patch(ref, {"stringData": {"password": "hunter22"}})

    assert "******** is weak" in refused.value.user_message


def test_a_connection_that_breaks_is_unreachable_and_not_repeated(
    stand_in: KubernetesServer, cluster: Kubernetes
) -> None:
    fail(stand_in, verb="create", resource="configmaps", mode="reset")

    with pytest.raises(Unreachable):
        cluster.create(config_map("default"))

    with urlopen(f"{stand_in.url}/_control/requests") as answer:
        assert json.load(answer) == {"create configmaps": 1}


def test_a_cluster_that_is_down_is_unreachable(settings: Settings) -> None:
    with KubernetesServer(token=TOKEN) as server:
        settings.OUTGOING_ALLOW = [server.url.removeprefix("http://")]
    gone = server.url

    with (
        Kubernetes(ClusterAccess(url=gone, token=TOKEN)) as client,
        pytest.raises(Unreachable, match="cannot be reached or closed the connection"),
    ):
        client.version()


def test_an_address_that_is_not_open_is_not_called(
    access: ClusterAccess, settings: Settings
) -> None:
    settings.OUTGOING_ALLOW = []

    with Kubernetes(access) as client, pytest.raises(AddressRefused):
        client.version()


@pytest.mark.parametrize("url", ["", "cluster.example.com", "ftp://cluster.example.com"])
def test_an_address_of_another_scheme_is_invalid(url: str) -> None:
    with pytest.raises(Invalid, match="must begin with https://"):
        Kubernetes(ClusterAccess(url=url))


def test_a_rollout_that_does_not_move_misses_its_deadline(
    stand_in: KubernetesServer, cluster: Kubernetes, namespace: str
) -> None:
    manifest = deployment(namespace, "demo/missing:1.0", progressDeadlineSeconds=0)
    ref = cluster.apply(manifest).object.ref

    def conditions() -> list[Any]:
        status: Any = cluster.get(ref).body.get("status") or {}
        return [condition["reason"] for condition in status.get("conditions", [])]

    assert wait_for(conditions, lambda reasons: "ProgressDeadlineExceeded" in reasons)


def test_a_restart_with_the_state_file_keeps_the_cluster(
    tmp_path: Path, settings: Settings
) -> None:
    settings.OUTGOING_ALLOW = ["127.0.0.0/8"]
    state = tmp_path / "cluster.json"
    with (
        KubernetesServer(token=TOKEN, state=state, rollout_seconds=0.1) as first,
        Kubernetes(ClusterAccess(url=first.url, token=TOKEN)) as client,
    ):
        ref = client.apply(deployment("default")).object.ref
        end_of_rollout(client, ref)
        before = client.get(ref).body

    with (
        KubernetesServer(token=TOKEN, state=state, rollout_seconds=0.1) as second,
        Kubernetes(ClusterAccess(url=second.url, token=TOKEN)) as client,
    ):
        assert client.get(ref).body == before
        assert look(client, ref).state is RolloutState.READY
    assert state.stat().st_mode & 0o777 == 0o600


def test_the_page_shows_deployments_and_no_secrets(
    stand_in: KubernetesServer, cluster: Kubernetes, namespace: str
) -> None:
    config = json.dumps({"auths": {"registry": {"password": "the-password-of-the-registry"}}})
    cluster.apply(pull_secret(namespace, config))
    ref = cluster.apply(deployment(namespace, "demo/web:<b>")).object.ref
    cluster.apply(deployment(namespace, "demo/web:2.0"))
    end_of_rollout(cluster, ref)

    with urlopen(f"{stand_in.url}/") as answer:
        page = answer.read().decode()

    assert "<code>demo/web:2.0</code></td><td>2 of 2</td>" in page
    assert "the-password-of-the-registry" not in page
