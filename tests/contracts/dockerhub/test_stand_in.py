"""The stand-in where the client does not reach: its memory, its page, and its hard edges."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from codestream.core.http import Reach, Response, open_session, send
from codestream.sandbox.dockerhub import DockerHubServer
from endpoints.clients.dockerhub import DockerHub
from tests.contracts.dockerhub.conftest import PASSWORD, Receiver

HOOK_URL = "https://ci.example.com/hooks/1?secureToken=s3cr3t-of-the-hook"


def call(server: DockerHubServer, method: str, path: str, **options: Any) -> Response:
    with open_session(Reach.ENDPOINT) as session:
        return send(session, method, f"{server.url}{path}", **options)


def token(server: DockerHubServer) -> dict[str, str]:
    credentials = {"identifier": "demo", "secret": PASSWORD}
    body = call(server, "POST", "/v2/auth/token", json=credentials).json()
    assert isinstance(body, dict)
    return {"Authorization": f"JWT {body['access_token']}"}


def test_a_restart_keeps_webhooks_and_no_password(tmp_path: Path, settings: Settings) -> None:
    settings.OUTGOING_ALLOW = ["127.0.0.0/8"]
    state = tmp_path / "hub.json"
    first = DockerHubServer(
        username="demo", password=PASSWORD, repositories=["demo/web"], state=state
    )
    with first, DockerHub(first.url, "demo", PASSWORD) as client:
        created = client.create_webhook("demo", "web", "hook", HOOK_URL)

    with DockerHubServer(state=state) as second, DockerHub(second.url, "demo", PASSWORD) as client:
        assert client.list_webhooks("demo", "web") == (created,)

    assert PASSWORD not in state.read_text()
    assert state.stat().st_mode & 0o777 == 0o600


def test_a_path_without_its_final_slash_is_redirected(server: DockerHubServer) -> None:
    answer = call(server, "POST", "/v2/repositories/demo/web/webhook_pipeline", json={})
    assert (answer.status, answer.headers["location"][-1]) == (301, "/")


@pytest.mark.parametrize("method", ["GET", "PATCH", "PUT"])
def test_there_is_no_reading_or_updating_of_one_webhook(
    server: DockerHubServer, method: str
) -> None:
    path = "/v2/repositories/demo/web/webhook_pipeline/hook/"
    assert call(server, method, path, headers=token(server)).status == 405


def test_a_client_that_does_not_say_who_it_is_is_blocked(server: DockerHubServer) -> None:
    answer = call(
        server, "GET", "/v2/repositories/demo/web/", headers={"User-Agent": "python-requests/2"}
    )
    assert (answer.status, answer.text) == (403, "error code: 1010")


def test_the_history_lists_each_call(
    hub: DockerHub, server: DockerHubServer, receiver: Receiver
) -> None:
    slug = hub.create_webhook("demo", "web", "hook", receiver.url).slug
    server.push("demo/web", "1.0")

    path = f"/v2/repositories/demo/web/webhook_pipeline/{slug}/history/"
    page = json.loads(call(server, "GET", path, headers=token(server)).body)

    assert [sorted(row) for row in page["results"]] == [["created", "status", "uuid"]]


def test_the_page_and_the_state_mask_the_hook_url(hub: DockerHub, server: DockerHubServer) -> None:
    hub.create_webhook("demo", "web", "hook", HOOK_URL)

    shown = call(server, "GET", "/").text + call(server, "GET", "/_control/state").text

    assert "ci.example.com/hooks/1?secureToken=********" in shown
    assert "s3cr3t" not in shown


def test_the_form_of_the_page_pushes_and_makes_an_unknown_repository(
    server: DockerHubServer,
) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = call(server, "POST", "/push", body=b"image=new/app&tag=1.0", headers=form)

    assert (answer.status, answer.headers["location"]) == (303, "/")
    assert "new/app" in call(server, "GET", "/").text


def test_another_sites_page_may_not_push(server: DockerHubServer) -> None:
    answer = call(
        server,
        "POST",
        "/_control/push",
        json={"namespace": "demo", "repository": "web", "tag": "1"},
        headers={"Origin": "https://evil.example.com"},
    )
    assert answer.status == 403
    assert server.store.repositories["demo/web"].tags == {}


@pytest.mark.parametrize(
    "body",
    [
        {"namespace": "demo", "repository": "web"},
        {"namespace": "De mo", "repository": "web", "tag": "1"},
        {"namespace": "demo", "repository": "web", "tag": ""},
        ["not", "an", "object"],
    ],
)
def test_a_push_without_its_parts_is_refused(server: DockerHubServer, body: object) -> None:
    assert call(server, "POST", "/_control/push", json=body).status == 400


def test_a_planned_failure_comes_once(server: DockerHubServer) -> None:
    plan = {"route": "repository", "mode": "503"}
    call(server, "POST", "/_control/fail", json=plan)

    statuses = [call(server, "GET", "/v2/repositories/demo/web/").status for _ in range(2)]

    assert statuses == [503, 200]
