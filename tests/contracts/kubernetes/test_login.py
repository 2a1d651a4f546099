"""Signing in over TLS, with a token or a certificate, and trusting only the right server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import urlsplit

import pytest
from pytest_django.fixtures import Settings

from codestream.sandbox.kubernetes import KubernetesServer
from endpoints.clients.base import Unauthorized, Unreachable
from endpoints.clients.kubernetes import ClusterAccess, Kubernetes
from tests.cluster.certificates import Authority, Identity, server_context
from tests.conftest import TOKEN


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def secure(authority: Authority, settings: Settings) -> Iterator[ClusterAccess]:
    """How to reach a stand-in over TLS, without any login yet."""
    context = server_context(authority.server(), client_ca=authority.certificate)
    with KubernetesServer(token=TOKEN, tls=context) as server:
        settings.OUTGOING_ALLOW = [urlsplit(server.url).netloc]
        yield ClusterAccess(url=server.url, ca_data=authority.certificate.decode())


def signed_in(access: ClusterAccess, identity: Identity) -> ClusterAccess:
    return replace(access, cert_data=identity.certificate.decode(), key_data=identity.key.decode())


def namespaces(access: ClusterAccess) -> set[str]:
    with Kubernetes(access) as client:
        return {each.ref.name for each in client.list("v1", "Namespace")}


def test_a_token_signs_in_over_tls(secure: ClusterAccess) -> None:
    assert "default" in namespaces(replace(secure, token=TOKEN))


def test_a_certificate_signs_in(secure: ClusterAccess, authority: Authority) -> None:
    access = signed_in(secure, authority.person("jo", "system:masters"))

    assert "default" in namespaces(access)


def test_without_token_and_certificate_nothing_is_shown(secure: ClusterAccess) -> None:
    with pytest.raises(Unauthorized):
        namespaces(secure)


def test_a_certificate_of_another_authority_does_not_sign_in(secure: ClusterAccess) -> None:
    access = signed_in(secure, Authority().person("jo", "system:masters"))

    with pytest.raises(Unreachable):
        namespaces(access)


def test_a_server_of_another_authority_is_not_trusted(secure: ClusterAccess) -> None:
    access = replace(secure, ca_data=Authority().certificate.decode(), token=TOKEN)

    with pytest.raises(Unreachable, match="TLS connection or certificate is not good"):
        namespaces(access)
