"""Signing in, and keeping the token no longer than it is good."""

from __future__ import annotations

import pytest
from pytest_django.fixtures import Settings

from codestream.sandbox.dockerhub import DockerHubServer
from codestream.sandbox.dockerhub_failures import Mode
from codestream.sandbox.http_server import HttpServer, Request, Response, json_response
from endpoints.clients.base import Blocked, Forbidden, RateLimited, Unauthorized
from endpoints.clients.dockerhub import DockerHub
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

    with DockerHub(server.url, "demo", PASSWORD) as client, pytest.raises(RateLimited):
        client.log_in()


def test_an_endpoint_without_credentials_says_so_without_asking(server: DockerHubServer) -> None:
    with DockerHub(server.url, "", "") as client, pytest.raises(Unauthorized, match="no user name"):
        client.log_in()


def test_an_account_with_a_second_factor_needs_an_access_token(server: DockerHubServer) -> None:
    server.store.accounts.add("careful", "pw-of-careful", has_second_factor=True)
    with (
        DockerHub(server.url, "careful", "pw-of-careful") as client,
        pytest.raises(Unauthorized, match="needs an access token"),
    ):
        client.log_in()


def test_a_token_that_may_not_manage_repositories_is_forbidden(server: DockerHubServer) -> None:
    server.store.accounts.add("reader", "dckr_pat_reader", scope="repo:read")
    server.store.repositories["demo/web"].admins.append("reader")
    with (
        DockerHub(server.url, "reader", "dckr_pat_reader") as client,
        pytest.raises(Forbidden, match="personal access token"),
    ):
        client.create_webhook("demo", "web", "hook", HOOK_URL)


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
