"""Validate, against the stand-ins: what works says so, and what does not says why."""

from __future__ import annotations

import pytest
from pytest_django.fixtures import Settings

from codestream.sandbox.dockerhub import DockerHubServer
from codestream.sandbox.kubernetes import KubernetesServer
from endpoints.models import Endpoint
from endpoints.services import validate_endpoint
from tests.factories import DockerRegistryFactory, KubernetesFactory

pytestmark = pytest.mark.django_db


def opened(settings: Settings, url: str) -> str:
    settings.OUTGOING_ALLOW = [url.removeprefix("http://")]
    return url


def check(endpoint: Endpoint) -> tuple[str, str]:
    validate_endpoint(endpoint=endpoint)
    endpoint.refresh_from_db()
    return endpoint.last_check_status, endpoint.last_check_message


@pytest.mark.parametrize(("token", "status"), [("right-token", "PASSED"), ("wrong", "FAILED")])
def test_a_cluster_is_asked_something_that_needs_the_token(
    settings: Settings, token: str, status: str
) -> None:
    with KubernetesServer(token="right-token") as server:
        url = opened(settings, server.url)
        endpoint = KubernetesFactory(
            properties={"kubernetesURL": url, "authType": "token"}, credentials={"token": token}
        )

        found, message = check(endpoint)

    assert found == status
    assert message
    assert token not in message


@pytest.mark.parametrize(
    ("password", "repository", "status"),
    [
        ("right-password", "web", "PASSED"),
        ("wrong-password", "web", "FAILED"),
        ("right-password", "gone", "FAILED"),
    ],
)
def test_a_registry_tells_a_wrong_password_from_a_missing_repository(
    settings: Settings, password: str, repository: str, status: str
) -> None:
    stand_in = DockerHubServer(
        username="demo", password="right-password", repositories=["demo/web"]
    )
    with stand_in as server:
        url = opened(settings, server.url)
        endpoint = DockerRegistryFactory(
            properties={"serverType": "DockerHub", "repoURL": f"{url}/r/demo/{repository}"},
            credentials={"username": "demo", "password": password},
        )

        found, message = check(endpoint)

    assert found == status
    assert password not in message


def test_an_address_that_is_not_allowed_is_not_called(settings: Settings) -> None:
    settings.OUTGOING_ALLOW = []

    found, message = check(
        KubernetesFactory(properties={"kubernetesURL": "http://127.0.0.1:1", "authType": "token"})
    )

    assert found == "FAILED"
    assert "OUTGOING_ALLOW" in message
