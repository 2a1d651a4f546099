"""Signing in, and keeping the token no longer than it is good."""

from __future__ import annotations

from datetime import timedelta

import pytest
from pytest_django.fixtures import Settings

from codestream.core.clock import now
from codestream.sandbox.dockerhub import DockerHubServer
from codestream.sandbox.dockerhub_failures import Mode
from codestream.sandbox.http_server import HttpServer, Request, Response, json_response
from endpoints.clients import dockerhub_login
from endpoints.clients.base import Blocked, Unauthorized
from endpoints.clients.dockerhub import DockerHub
from endpoints.clients.dockerhub_errors import AccountLocked, SecondFactor, TokenLacksRight
from tests.contracts.dockerhub.conftest import PASSWORD

HOOK_URL = "https://ci.example.com/hooks/1"


def test_the_right_password_signs_in(hub: DockerHub) -> None:
    hub.log_in()


def test_a_wrong_password_is_unauthorized_and_not_tried_again(server: DockerHubServer) -> None:
    with DockerHub(server.url, "demo", "wrong") as client, pytest.raises(Unauthorized) as refused:
        client.list_webhooks("demo", "web")

    assert not refused.value.retryable
    assert server.store.accounts.accounts["demo"].failures == 1


def test_after_several_failures_the_right_password_is_kept_out_too(
    server: DockerHubServer,
) -> None:
    for attempt in range(5):
        with (
            DockerHub(server.url, "demo", f"wrong-{attempt}") as client,
            pytest.raises(Unauthorized),
        ):
            client.log_in()

    with DockerHub(server.url, "demo", PASSWORD) as client, pytest.raises(AccountLocked) as locked:
        client.log_in()

    assert locked.value.retry_at is not None
    assert timedelta(minutes=9) < locked.value.retry_at - now() <= timedelta(minutes=10)


def test_a_wrong_password_counts_once_however_many_webhooks_use_it(
    server: DockerHubServer,
) -> None:
    for _ in range(9):
        with DockerHub(server.url, "demo", "wrong") as client, pytest.raises(Unauthorized):
            client.list_webhooks("demo", "web")

    assert server.store.accounts.accounts["demo"].failures == 1


def test_a_refused_account_is_asked_for_again_after_a_moment(
    server: DockerHubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dockerhub_login, "REFUSAL_KEPT", timedelta())
    for expected in (1, 2):
        with DockerHub(server.url, "demo", "wrong") as client, pytest.raises(Unauthorized):
            client.log_in()
        assert server.store.accounts.accounts["demo"].failures == expected


def test_an_endpoint_without_credentials_says_so_without_asking(server: DockerHubServer) -> None:
    with DockerHub(server.url, "", "") as client, pytest.raises(Unauthorized, match="no user name"):
        client.log_in()


@pytest.mark.parametrize("status", [401, 200])
def test_an_account_with_a_second_factor_needs_an_access_token(
    server: DockerHubServer, status: int
) -> None:
    server.habits.second_factor = status
    server.store.accounts.add("careful", "pw-of-careful", has_second_factor=True)
    with (
        DockerHub(server.url, "careful", "pw-of-careful") as client,
        pytest.raises(SecondFactor, match="needs an access token"),
    ):
        client.log_in()


def test_a_token_that_may_not_manage_repositories_is_forbidden(server: DockerHubServer) -> None:
    server.store.accounts.add("reader", "dckr_pat_reader", scope="repo:read")
    server.store.repositories["demo/web"].admins.append("reader")
    with (
        DockerHub(server.url, "reader", "dckr_pat_reader") as client,
        pytest.raises(TokenLacksRight, match="Read, Write and Delete"),
    ):
        client.create_webhook("demo", "web", "hook", HOOK_URL)


def test_the_token_of_an_organisation_is_taken_only_where_that_is_switched_on(
    server: DockerHubServer,
) -> None:
    server.store.accounts.add("acme", "dckr_oat_acme", is_organisation=True)
    server.store.repositories["demo/web"].admins.append("acme")
    with DockerHub(server.url, "acme", "dckr_oat_acme") as client:
        with pytest.raises(TokenLacksRight, match="organization access token"):
            client.list_webhooks("demo", "web")
        server.habits.organisation_tokens = True
        assert client.list_webhooks("demo", "web") == ()


@pytest.mark.parametrize("mode", [Mode.CLOUDFLARE, Mode.CHALLENGE, Mode.CHALLENGE_BUSY])
def test_a_protection_that_turns_the_sign_in_away_is_no_wrong_password(
    server: DockerHubServer, mode: Mode
) -> None:
    server.failures.fail("login", mode)
    with DockerHub(server.url, "demo", PASSWORD) as client:
        with pytest.raises(Blocked):
            client.log_in()
        client.log_in()


def test_a_sign_in_finds_out_that_the_password_was_changed(
    hub: DockerHub, server: DockerHubServer
) -> None:
    hub.list_webhooks("demo", "web")
    with server.store.changing():
        server.store.accounts.add("demo", "another-horse-battery")

    hub.list_webhooks("demo", "web")
    with pytest.raises(Unauthorized):
        hub.log_in()


def test_clients_of_one_account_share_a_token(hub: DockerHub, server: DockerHubServer) -> None:
    hub.log_in()
    server.failures.fail("login", Mode.FAULT)
    with DockerHub(server.url, "demo", PASSWORD) as second:
        assert second.list_webhooks("demo", "web") == ()


def test_a_token_that_ended_early_is_renewed_once_and_the_call_repeated(
    hub: DockerHub, server: DockerHubServer
) -> None:
    hub.log_in()
    server.store.accounts.generation += 1

    assert hub.create_webhook("demo", "web", "hook", HOOK_URL).name == "hook"


def test_a_token_about_to_end_by_its_own_word_is_not_used(
    hub: DockerHub, server: DockerHubServer
) -> None:
    server.store.accounts.token_seconds = 5
    hub.log_in()
    server.failures.fail("login", Mode.CLOUDFLARE)

    with pytest.raises(Blocked):
        hub.log_in()


def test_a_hub_without_the_current_login_is_signed_in_to_by_the_older_one(
    settings: Settings,
) -> None:
    def older(request: Request) -> Response:
        if request.path == "/v2/users/login":
            return json_response({"token": "opaque"})
        if request.headers["Authorization"] == "Bearer opaque":
            return json_response({"results": [], "next": None})
        return json_response({"detail": "Not found"}, 404)

    with HttpServer(older) as running:
        settings.OUTGOING_ALLOW = ["127.0.0.0/8"]
        with DockerHub(running.url, "demo", PASSWORD) as client:
            assert client.list_webhooks("demo", "web") == ()
