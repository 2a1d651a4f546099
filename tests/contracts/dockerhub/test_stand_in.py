"""The stand-in where the client does not reach: its memory, its page, and its hard edges."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from codestream.core.http import Reach, Response, open_session, send
from codestream.sandbox.dockerhub import DockerHubServer
from codestream.sandbox.dockerhub_failures import Mode
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


def test_a_create_that_follows_the_redirect_has_become_a_list(server: DockerHubServer) -> None:
    answer = call(
        server,
        "POST",
        "/v2/repositories/demo/web/webhook_pipeline",
        json={"name": "hook", "webhooks": [{"hook_url": HOOK_URL}]},
        headers=token(server),
        follow_redirects=True,
    )
    assert answer.status == 200
    assert json.loads(answer.body)["results"] == []


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


def test_pages_hold_ten_rows_or_at_most_a_hundred_and_link_absolutely(
    server: DockerHubServer,
) -> None:
    repository = server.store.repositories["demo/web"]
    for number in range(120):
        repository.add_hook(f"hook {number}", f"{HOOK_URL}{number}", expect_final_callback=False)
    path, signed_in = "/v2/repositories/demo/web/webhook_pipeline/", token(server)

    first = json.loads(call(server, "GET", path, headers=signed_in).body)
    largest = json.loads(call(server, "GET", f"{path}?page_size=999", headers=signed_in).body)

    assert (first["count"], len(first["results"]), len(largest["results"])) == (120, 10, 100)
    assert first["next"].startswith(f"{server.url}{path}?page=2")
    assert first["previous"] is None


def test_every_answer_tells_the_rate_limit(server: DockerHubServer) -> None:
    for path in ("/v2/repositories/demo/web/", "/v2/repositories/demo/none/", "/v2/nothing/"):
        headers = call(server, "GET", path).headers
        assert headers["x-ratelimit-limit"] == "600"
        assert int(headers["x-ratelimit-reset"]) > 10**9


@pytest.mark.parametrize(
    ("mode", "header"),
    [("429", "x-retry-after"), ("429-seconds", "retry-after"), ("429-text", "")],
)
def test_a_rate_limit_has_three_forms(server: DockerHubServer, mode: str, header: str) -> None:
    call(server, "POST", "/_control/fail", json={"route": "repository", "mode": mode})

    answer = call(server, "GET", "/v2/repositories/demo/web/")

    found = {"x-retry-after", "retry-after"} & set(answer.headers)
    assert (answer.status, found) == (429, {header} - {""})


def test_a_person_adds_doubles_and_removes_webhooks_behind_every_back(
    hub: DockerHub, server: DockerHubServer
) -> None:
    place = {"namespace": "demo", "repository": "web"}
    made = call(
        server, "POST", "/_control/hook", json={**place, "name": "mine", "url": HOOK_URL}
    ).json()
    assert isinstance(made, dict)
    doubled = call(server, "POST", "/_control/double", json={**place, **made})

    assert [hook.hook_urls for hook in hub.list_webhooks("demo", "web")] == [(HOOK_URL,)] * 2

    call(server, "POST", "/_control/unhook", json={**place, **made})
    left = [hook.slug for hook in hub.list_webhooks("demo", "web")]
    assert [{"slug": slug} for slug in left] == [doubled.json()]
    assert call(server, "POST", "/_control/unhook", json={**place, **made}).status == 400


def test_a_habit_is_switched_on_until_it_is_switched_off(server: DockerHubServer) -> None:
    def look() -> str:
        return call(server, "GET", "/v2/repositories/demo/none/").text[:1]

    assert look() == "{"
    call(server, "POST", "/_control/habits", json={"not_found": "html"})
    assert (look(), look()) == ("<", "<")
    call(server, "POST", "/_control/habits", json={"not_found": "json"})
    assert look() == "{"


@pytest.mark.parametrize("habits", [{"not_found": "xml"}, {"unknown": True}])
def test_a_habit_that_is_none_is_refused(
    server: DockerHubServer, habits: dict[str, object]
) -> None:
    assert call(server, "POST", "/_control/habits", json=habits).status == 400


def test_the_newest_webhook_may_be_missing_from_an_old_list(
    hub: DockerHub, server: DockerHubServer
) -> None:
    hub.create_webhook("demo", "web", "hook", HOOK_URL)
    server.failures.fail("list", Mode.LIST_IS_OLD)

    assert hub.list_webhooks("demo", "web") == ()
    assert len(hub.list_webhooks("demo", "web")) == 1
