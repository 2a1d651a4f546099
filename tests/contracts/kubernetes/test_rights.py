"""Every way to sign in, and what the account may do, told by the cluster itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from codestream.sandbox.kubernetes import KubernetesServer
from endpoints.clients.base import Forbidden, Protocol, Unauthorized
from endpoints.clients.kubernetes import ClusterAccess, Kubernetes, Right
from endpoints.clients.kubernetes_rights import needed_rights, read_review
from tests.certificates import Identity, make_identity, server_context
from tests.conftest import TOKEN
from tests.contracts.kubernetes.manifests import config_map

SERVER = make_identity("kube-apiserver")
CLIENT = make_identity("codestream")
STRANGER = make_identity("stranger")


@pytest.fixture
def secured(settings: Settings, tmp_path: Path) -> Iterator[KubernetesServer]:
    tls = server_context(SERVER, tmp_path, trusting=CLIENT)
    with KubernetesServer(token=TOKEN, user="robot", password="pass", tls=tls) as server:
        settings.OUTGOING_ALLOW = [server.url.removeprefix("https://")]
        yield server


def signed_in(server: KubernetesServer, **login: Any) -> bool:
    access = ClusterAccess(url=server.url, ca_data=SERVER.certificate_data, **login)
    with Kubernetes(access) as cluster:
        return cluster.is_allowed(Right(verb="get", resource="pods"))


def certificate(identity: Identity) -> dict[str, str]:
    return {"cert_data": identity.certificate_data, "key_data": identity.key_data}


@pytest.mark.parametrize(
    "login",
    [{"token": TOKEN}, {"username": "robot", "password": "pass"}, certificate(CLIENT)],
    ids=["token", "basic", "certificate"],
)
def test_each_way_to_sign_in_works(secured: KubernetesServer, login: dict[str, str]) -> None:
    assert signed_in(secured, **login)


@pytest.mark.parametrize(
    "login",
    [{"token": "wrong"}, {"username": "robot", "password": "wrong"}, {}],
    ids=["token", "basic", "nothing"],
)
def test_a_wrong_login_is_refused(secured: KubernetesServer, login: dict[str, str]) -> None:
    with pytest.raises(Unauthorized):
        signed_in(secured, **login)


def test_every_right_is_there_by_default(cluster: Kubernetes) -> None:
    assert all(cluster.is_allowed(right) for right in needed_rights())


def test_a_missing_right_is_told_and_enforced(settings: Settings) -> None:
    forbidden = ["create configmaps"]
    with KubernetesServer(token=TOKEN, forbidden=forbidden) as server:
        settings.OUTGOING_ALLOW = [server.url.removeprefix("http://")]
        with Kubernetes(ClusterAccess(url=server.url, token=TOKEN)) as cluster:
            rights = [Right(verb=verb, resource="configmaps") for verb in ("create", "get")]

            assert [cluster.is_allowed(right) for right in rights] == [False, True]
            with pytest.raises(Forbidden, match="cannot create resource"):
                cluster.apply(config_map("default"))


@pytest.mark.parametrize("body", [{}, {"status": {}}, {"status": {"allowed": "yes"}}, []])
def test_an_answer_that_says_nothing_is_no_answer(body: object) -> None:
    with pytest.raises(Protocol):
        read_review(body)  # type: ignore[arg-type]
