"""Why an image cannot be pulled, from the kubelet's event and the pod's pull secrets."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from codestream.core.json_types import Json
from endpoints.clients.image_pulls import hosts_of, pull_words, registry_of

IMAGE = "registry.example.com/shop/web:1.0"
DENIED = f'Failed to pull image "{IMAGE}": unexpected status: 401 Unauthorized'


def pod(*secrets: str) -> dict[str, Any]:
    named = [{"name": name} for name in secrets]
    return {"spec": {"containers": [{"image": IMAGE}], "imagePullSecrets": named}}


def secret(*hosts: str) -> dict[str, Any]:
    text = json.dumps({"auths": {host: {} for host in hosts}}).encode()
    return {"data": {".dockerconfigjson": base64.b64encode(text).decode()}}


@pytest.mark.parametrize(
    ("image", "host"),
    [
        ("web", "docker.io"),
        ("acme/web:1.0", "docker.io"),
        ("docker.io/acme/web", "docker.io"),
        ("index.docker.io/acme/web", "docker.io"),
        (IMAGE, "registry.example.com"),
        ("localhost/web", "localhost"),
        ("hub:5000/web@sha256:00", "hub:5000"),
    ],
)
def test_the_registry_is_the_first_part_where_that_is_a_host(image: str, host: str) -> None:
    assert registry_of(image) == host


def test_the_hosts_of_a_secret_are_those_of_its_addresses() -> None:
    found = hosts_of(secret("https://index.docker.io/v1/", "hub:5000", "https://reg.example.com"))

    assert found == {"docker.io", "hub:5000", "reg.example.com"}


@pytest.mark.parametrize("data", [{}, {".dockerconfigjson": "*"}, {".dockerconfigjson": "W10="}])
def test_a_secret_that_cannot_be_read_names_no_host(data: dict[str, Json]) -> None:
    assert hosts_of({"data": data}) == frozenset()


@pytest.mark.parametrize(
    ("secrets", "told"),
    [
        ({}, "and the pod names no imagePullSecret"),
        ({"hub": {}}, "and the imagePullSecret hub is not there or may not be read"),
        ({"hub": secret("docker.io")}, "and no imagePullSecret names that host (hub)"),
        (
            {"hub": secret("registry.example.com")},
            "and does not accept the login of imagePullSecret hub",
        ),
    ],
)
def test_a_denied_pull_says_which_login_there_was(
    secrets: dict[str, dict[str, Any]], told: str
) -> None:
    words = pull_words(pod(*secrets), DENIED, lambda name: secrets[name])

    assert words == f"registry.example.com answered 401 for {IMAGE}, {told}"


def test_an_image_that_does_not_exist_is_told_so() -> None:
    event = f'Failed to pull image "{IMAGE}": manifest unknown'

    assert pull_words(pod(), event, lambda _: {}) == f"registry.example.com does not have {IMAGE}"


def test_anything_else_is_told_in_the_kubelets_words() -> None:
    event = f'Failed to pull image "{IMAGE}": x509: certificate signed by unknown authority'

    assert pull_words(pod(), event, lambda _: {}) == event


def test_without_an_event_nothing_is_known() -> None:
    assert pull_words(pod(), "", lambda _: {}) == ""
