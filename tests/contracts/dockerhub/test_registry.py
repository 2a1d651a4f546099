"""Which digest a tag stands for, asked at the registry behind the stand-in."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from pytest_django.fixtures import Settings

from codestream.sandbox.dockerhub import DockerHubServer
from codestream.sandbox.dockerhub_failures import Mode
from codestream.sandbox.http_server import HttpServer, Request, Response, json_response
from endpoints.clients.base import (
    Blocked,
    ClientError,
    NotFound,
    Protocol,
    Unauthorized,
    Unreachable,
)
from endpoints.clients.docker_registry import DockerRegistry, registry_url
from tests.contracts.dockerhub.conftest import PASSWORD

# A HEAD has no body that could be cut off, and no list that could move.
REFUSALS = [
    mode
    for mode in Mode
    if mode not in {Mode.CUT_OFF, Mode.SLOW, Mode.LIST_IS_OLD, Mode.LIST_MOVES}
]
NOBODY = ("", "")
DEMO = ("demo", PASSWORD)


def tag_digest(
    url: str, tag: str, account: tuple[str, str] = NOBODY, *, image: str = "demo/web"
) -> str:
    """What the tag stands for, by the word of the registry."""
    namespace, _, repository = image.partition("/")
    with DockerRegistry(url, *account) as client:
        return client.tag_digest(namespace, repository, tag)


def test_a_tag_stands_for_what_was_pushed_last(server: DockerHubServer) -> None:
    server.push("demo/web", "1.0")
    first = tag_digest(server.url, "1.0")
    server.push("demo/web", "1.0")

    second = tag_digest(server.url, "1.0")

    assert first.startswith("sha256:")
    assert second == server.store.repositories["demo/web"].tags["1.0"].digest != first


def test_a_tag_that_is_not_there_is_told(server: DockerHubServer) -> None:
    with pytest.raises(NotFound):
        tag_digest(server.url, "absent")


def test_a_private_image_needs_an_account_that_may_read_it(server: DockerHubServer) -> None:
    server.store.add_repository("demo", "secret", is_private=True)
    server.push("demo/secret", "1.0")

    assert tag_digest(server.url, "1.0", DEMO, image="demo/secret").startswith("sha256:")
    for account in (NOBODY, ("demo", "wrong")):
        with pytest.raises(Unauthorized):
            tag_digest(server.url, "1.0", account, image="demo/secret")


@pytest.mark.parametrize("mode", REFUSALS)
def test_whatever_the_registry_answers_is_a_client_error(
    server: DockerHubServer, mode: Mode
) -> None:
    server.push("demo/web", "1.0")
    server.failures.fail("manifest", mode, times=9)

    with pytest.raises(ClientError):
        tag_digest(server.url, "1.0")


@pytest.fixture
def listening(settings: Settings) -> Iterator[list[Request]]:
    """A registry that sends everybody to a sign-in elsewhere; what that one is asked."""
    asked: list[Request] = []

    def realm(request: Request) -> Response:
        asked.append(request)
        return json_response({"token": "t"})

    with HttpServer(realm) as other:

        def registry(request: Request) -> Response:
            challenge = f'Bearer realm="{other.url}/token",service="s",scope="x"'
            return json_response({}, 401, {"WWW-Authenticate": challenge})

        with HttpServer(registry) as own:
            settings.OUTGOING_ALLOW = [urlsplit(each.url).netloc for each in (own, other)]
            settings.TEST_REGISTRY = own.url
            yield asked


def test_a_password_goes_to_no_other_host_in_plain_text(
    listening: list[Request], settings: Settings
) -> None:
    with pytest.raises(Blocked):
        tag_digest(settings.TEST_REGISTRY, "1.0", DEMO)

    assert listening == []


def test_a_registry_that_is_away_is_unreachable(settings: Settings) -> None:
    settings.OUTGOING_ALLOW = ["127.0.0.1:9"]

    with pytest.raises(Unreachable):
        tag_digest("http://127.0.0.1:9", "1.0")


def test_an_answer_without_a_digest_is_no_answer(settings: Settings) -> None:
    with HttpServer(lambda _request: json_response({})) as server:
        settings.OUTGOING_ALLOW = [urlsplit(server.url).netloc]
        with pytest.raises(Protocol):
            tag_digest(server.url, "1.0")


@pytest.mark.parametrize(
    ("base", "registry"),
    [
        ("https://hub.docker.com", "https://registry-1.docker.io"),
        ("https://docker.io", "https://registry-1.docker.io"),
        ("https://registry.example.com/", "https://registry.example.com"),
    ],
)
def test_docker_hubs_registry_has_a_host_of_its_own(base: str, registry: str) -> None:
    assert registry_url(base) == registry
