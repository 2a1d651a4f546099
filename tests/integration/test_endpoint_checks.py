"""Validate, against the stand-ins: what works says so, and what does not says why."""

from __future__ import annotations

import pytest
from pytest_django.fixtures import Settings

from codestream.sandbox.dockerhub import DockerHubServer
from codestream.sandbox.http_server import (
    Application,
    HttpServer,
    Request,
    Response,
    json_response,
    text_response,
)
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


def test_a_password_that_was_changed_at_docker_hub_is_found_out_at_once(
    settings: Settings,
) -> None:
    with DockerHubServer(
        username="demo", password="right-password", repositories=["demo/web"]
    ) as server:
        endpoint = DockerRegistryFactory(
            properties={
                "serverType": "DockerHub",
                "repoURL": f"{opened(settings, server.url)}/r/demo/web",
            },
            credentials={"username": "demo", "password": "right-password"},
        )
        before, _message = check(endpoint)
        with server.store.changing():
            server.store.accounts.add("demo", "another-password")
        after, _message = check(endpoint)

    assert (before, after) == ("PASSED", "FAILED")


def test_an_address_that_is_not_allowed_is_not_called(settings: Settings) -> None:
    settings.OUTGOING_ALLOW = []

    found, message = check(
        KubernetesFactory(properties={"kubernetesURL": "http://127.0.0.1:1", "authType": "token"})
    )

    assert found == "FAILED"
    assert "OUTGOING_ALLOW" in message


def refuse(path: str, status: int, body: str, **headers: str) -> Application:
    """A Docker Hub that signs in and shows everything, but answers one path like this."""

    def answer(request: Request) -> Response:
        if request.path.startswith(path):
            return text_response(body, status, headers=headers)
        return json_response(
            {"access_token": "a", "name": "web", "permissions": {"admin": True}, "results": []}
        )

    return answer


REPOSITORY = "/v2/repositories/demo/web/"
FAULTS = {
    "wrong password": refuse("/v2/auth", 401, '{"detail": "Incorrect credentials"}'),
    "two-factor login": refuse("/v2/auth", 401, '{"detail": "MFA", "login_2fa_token": "x"}'),
    "token without the right": refuse(
        f"{REPOSITORY}webhook", 403, '{"detail": "insufficient scope"}'
    ),
    "missing repository": refuse(REPOSITORY, 404, '{"message": "object not found"}'),
    "rate limit": refuse(REPOSITORY, 429, "slow down", **{"Retry-After": "60"}),
    "a proxy's page": refuse("/v2/auth", 403, "<html>Access denied</html>"),
}


def said_by(settings: Settings, application: Application) -> tuple[str, str]:
    with HttpServer(application) as server:
        url = opened(settings, server.url)
        return check(
            DockerRegistryFactory(
                properties={"serverType": "DockerHub", "repoURL": f"{url}/r/demo/web"},
                credentials={"username": "demo", "password": "right-password"},
            )
        )


def test_what_is_wrong_at_docker_hub_is_told_apart_in_words(settings: Settings) -> None:
    answers = {name: said_by(settings, application) for name, application in FAULTS.items()}

    assert {status for status, _ in answers.values()} == {"FAILED"}
    assert len({message for _, message in answers.values()}) == len(FAULTS)
    assert all(len(message) > 40 for _, message in answers.values())
    assert "second factor" in answers["two-factor login"][1]
    assert "protection in front" in answers["a proxy's page"][1]
    assert "insufficient scope" in answers["token without the right"][1]


@pytest.mark.parametrize(
    ("status", "headers", "advice"),
    [
        (429, {"Retry-After": "Wed, 01 Jan 2098 10:00:00 GMT"}, "Press Validate again after 20"),
        (503, {"Retry-After": "120"}, "Press Validate again after 20"),
        (500, {}, "Press Validate again in a few minutes."),
    ],
)
def test_what_may_pass_is_looked_at_again_by_the_person(
    settings: Settings, status: int, headers: dict[str, str], advice: str
) -> None:
    found, message = said_by(settings, refuse(REPOSITORY, status, "not now", **headers))

    assert found == "FAILED"
    assert advice in message
    assert "tried again" not in message


def test_the_time_that_another_registry_names_is_told(settings: Settings) -> None:
    def registry(_request: Request) -> Response:
        return text_response("slow down", 429, headers={"Retry-After": "60"})

    with HttpServer(registry) as server:
        url = opened(settings, server.url)
        place = {"serverType": "Docker_Distribution", "repoURL": f"{url}/demo/web"}
        found, message = check(DockerRegistryFactory(properties=place, credentials={}))

    assert found == "FAILED"
    assert "Press Validate again after 20" in message


def test_a_hub_where_all_is_well_says_so(settings: Settings) -> None:
    assert said_by(settings, refuse("/nowhere", 500, ""))[0] == "PASSED"


def test_a_trusted_registry_is_asked_in_its_own_way(settings: Settings) -> None:
    def registry(request: Request) -> Response:
        known = request.path == "/v2/demo/web/tags/list" and "Authorization" in request.headers
        return json_response({"tags": []}) if known else json_response({}, 404)

    with HttpServer(registry) as server:
        url = opened(settings, server.url)
        found = check(
            DockerRegistryFactory(
                properties={"serverType": "Docker_Trusted_Registry", "repoURL": f"{url}/demo/web"},
                credentials={"username": "demo", "password": "right-password"},
            )
        )

    assert found == ("PASSED", "Signed in; the repository demo/web is there.")
