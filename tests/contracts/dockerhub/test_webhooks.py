"""Listing, creating and deleting webhooks over real HTTP."""

from __future__ import annotations

import pytest
from pytest_django.fixtures import Settings

from codestream.core.json_types import Json
from codestream.sandbox.dockerhub import DockerHubServer
from codestream.sandbox.dockerhub_failures import Mode
from codestream.sandbox.http_server import HttpServer, Request, Response, json_response
from endpoints.clients.base import (
    Blocked,
    ClientError,
    Conflict,
    Invalid,
    NotFound,
    Protocol,
    RateLimited,
    ServerFault,
    Unreachable,
)
from endpoints.clients.dockerhub import DockerHub, HubRepository
from endpoints.clients.dockerhub_errors import NotAdministrator, TokenLacksRight, TokenRefused

HOOK_URL = "https://ci.example.com/hooks/1?secureToken=s3cr3t-of-the-hook"


def test_a_created_webhook_is_listed_until_it_is_deleted(hub: DockerHub) -> None:
    created = hub.create_webhook("demo", "web", "Ship It", HOOK_URL)

    assert hub.list_webhooks("demo", "web") == (created,)
    assert (created.name, created.hook_urls) == ("Ship It", (HOOK_URL,))
    hub.delete_webhook("demo", "web", created.slug)
    assert hub.list_webhooks("demo", "web") == ()


def test_more_webhooks_than_a_page_holds_are_all_listed(
    hub: DockerHub, server: DockerHubServer
) -> None:
    repository = server.store.repositories["demo/web"]
    for number in range(205):
        repository.add_hook(f"hook {number}", f"{HOOK_URL}{number}", expect_final_callback=False)

    names = [hook.name for hook in hub.list_webhooks("demo", "web")]

    assert names == [f"hook {number}" for number in range(205)]


def test_a_webhook_made_by_a_person_in_the_web_page_is_found_by_its_url(
    hub: DockerHub, server: DockerHubServer
) -> None:
    server.store.repositories["demo/web"].add_hook("x y", HOOK_URL, expect_final_callback=True)

    found = hub.find_webhook("demo", "web", HOOK_URL)

    assert found is not None
    assert found.name == "x y"
    assert hub.find_webhook("demo", "web", f"{HOOK_URL}-other") is None


def test_a_list_that_changes_between_two_pages_hides_no_webhook(
    hub: DockerHub, server: DockerHubServer
) -> None:
    repository = server.store.repositories["demo/web"]
    for number in range(101):
        repository.add_hook(f"hook {number}", f"{HOOK_URL}{number}", expect_final_callback=False)
    server.failures.fail("list", Mode.LIST_MOVES)

    found = {hook.name for hook in hub.list_webhooks("demo", "web")}

    assert found == {f"hook {number}" for number in range(101)}


def test_a_list_that_never_stands_still_is_not_believed(
    hub: DockerHub, server: DockerHubServer
) -> None:
    repository = server.store.repositories["demo/web"]
    for number in range(101):
        repository.add_hook(f"hook {number}", f"{HOOK_URL}{number}", expect_final_callback=False)
    server.failures.fail("list", Mode.LIST_MOVES, times=99)

    with pytest.raises(ServerFault, match="changes while it is read"):
        hub.list_webhooks("demo", "web")


def test_a_page_that_vanished_since_it_was_promised_ends_the_list(
    hub: DockerHub, server: DockerHubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = server.store.repositories["demo/web"]
    for number in range(101):
        repository.add_hook(f"hook {number}", f"{HOOK_URL}{number}", expect_final_callback=False)
    original = DockerHub._own

    def own(client: DockerHub, url: Json) -> str:
        del repository.hooks[100:]
        return original(client, url)

    monkeypatch.setattr(DockerHub, "_own", own)

    assert len(hub.list_webhooks("demo", "web")) == 100


def test_a_name_that_is_taken_may_be_said_with_another_status(
    hub: DockerHub, server: DockerHubServer
) -> None:
    server.habits.name_taken = 409
    hub.create_webhook("demo", "web", "same", HOOK_URL)
    with pytest.raises(Conflict):
        hub.create_webhook("demo", "web", "same", f"{HOOK_URL}2")


def test_a_missing_right_may_be_said_as_a_missing_repository(
    hub: DockerHub, server: DockerHubServer
) -> None:
    server.store.add_repository("other", "app", admins=[])
    server.habits.no_right, server.habits.not_found = 404, "html"
    with pytest.raises(NotFound) as missing:
        hub.create_webhook("other", "app", "hook", HOOK_URL)
    assert "<" not in missing.value.user_message


def test_an_address_where_nobody_listens_is_unreachable(settings: Settings) -> None:
    with HttpServer(lambda _request: Response()) as gone:
        address = gone.url
    settings.OUTGOING_ALLOW = ["127.0.0.0/8"]
    with DockerHub(address, "demo", "x") as client, pytest.raises(Unreachable):
        client.list_webhooks("demo", "web")


def test_deleting_twice_is_fine(hub: DockerHub) -> None:
    created = hub.create_webhook("demo", "web", "once", HOOK_URL)
    hub.delete_webhook("demo", "web", created.slug)
    hub.delete_webhook("demo", "web", created.slug)


def test_a_slug_is_taken_from_the_answer_and_never_computed(hub: DockerHub) -> None:
    slugs = {
        hub.create_webhook("demo", "web", name, HOOK_URL).slug for name in ("My hook", "my-hook")
    }
    assert len(slugs) == 2


def test_a_name_that_is_taken_is_a_conflict(hub: DockerHub) -> None:
    hub.create_webhook("demo", "web", "same", HOOK_URL)
    with pytest.raises(Conflict, match="already exists"):
        hub.create_webhook("demo", "web", "same", f"{HOOK_URL}2")


@pytest.mark.parametrize(
    ("name", "url"),
    [("good", " https://ci.example.com/"), ("good", "ftp://ci.example.com/"), ("ab", HOOK_URL)],
)
def test_a_bad_name_or_url_is_invalid(hub: DockerHub, name: str, url: str) -> None:
    with pytest.raises(Invalid):
        hub.create_webhook("demo", "web", name, url)


def test_a_lost_answer_leaves_one_webhook_which_is_found_by_its_url(
    hub: DockerHub, server: DockerHubServer
) -> None:
    server.failures.fail("create", Mode.ANSWER_LOST)

    with pytest.raises(Unreachable) as lost:
        hub.create_webhook("demo", "web", "once", HOOK_URL)

    assert lost.value.retryable
    assert hub.find_webhook("demo", "web", HOOK_URL) is not None
    assert len(hub.list_webhooks("demo", "web")) == 1


@pytest.mark.parametrize(
    ("mode", "error"),
    [
        (Mode.RESET, Unreachable),
        (Mode.CUT_OFF, Unreachable),
        (Mode.FAULT, ServerFault),
        (Mode.FAULT_HTML, ServerFault),
        (Mode.FAULT_EMPTY, ServerFault),
        (Mode.BAD_GATEWAY_JSON, ServerFault),
        (Mode.BAD_GATEWAY, ServerFault),
        (Mode.BAD_GATEWAY_EMPTY, ServerFault),
        (Mode.UNAVAILABLE_JSON, ServerFault),
        (Mode.UNAVAILABLE_HTML, ServerFault),
        (Mode.UNAVAILABLE, ServerFault),
        (Mode.RATE_LIMIT, RateLimited),
        (Mode.RATE_LIMIT_SECONDS, RateLimited),
        (Mode.RATE_LIMIT_TEXT, RateLimited),
        (Mode.CLOUDFLARE, Blocked),
        (Mode.CHALLENGE, Blocked),
        (Mode.CHALLENGE_BUSY, Blocked),
        (Mode.FORBIDDEN, TokenLacksRight),
        (Mode.NOT_ADMINISTRATOR, NotAdministrator),
        (Mode.NOT_FOUND, NotFound),
        (Mode.NOT_FOUND_HTML, NotFound),
        (Mode.NAME_TAKEN, Conflict),
        (Mode.NAME_TAKEN_CONFLICT, Conflict),
        (Mode.NOT_JSON, Protocol),
        (Mode.NO_SLUG, Protocol),
    ],
)
def test_each_failure_has_its_error_and_the_message_holds_no_secret(
    hub: DockerHub,
    server: DockerHubServer,
    mode: Mode,
    error: type[ClientError],
) -> None:
    server.failures.fail("create", mode)

    with pytest.raises(error) as failed:
        hub.create_webhook("demo", "web", "hook", HOOK_URL)

    assert type(failed.value) is error
    assert "s3cr3t" not in failed.value.user_message
    assert "<" not in failed.value.user_message


def test_an_answer_that_takes_too_long_is_none(
    hub: DockerHub, server: DockerHubServer, impatient: None
) -> None:
    server.failures.fail("create", Mode.SLOW)

    with pytest.raises(Unreachable) as failed:
        hub.create_webhook("demo", "web", "hook", HOOK_URL)

    assert "s3cr3t" not in failed.value.user_message


@pytest.mark.parametrize("mode", [Mode.RATE_LIMIT, Mode.RATE_LIMIT_SECONDS, Mode.RATE_LIMIT_TEXT])
def test_a_rate_limit_says_when_to_come_back(
    hub: DockerHub, server: DockerHubServer, mode: Mode
) -> None:
    server.failures.fail("list", mode)
    with pytest.raises(RateLimited) as limited:
        hub.list_webhooks("demo", "web")
    assert limited.value.retry_at is not None
    assert limited.value.retryable


def test_a_repository_that_is_not_there_is_not_found(hub: DockerHub) -> None:
    with pytest.raises(NotFound):
        hub.list_webhooks("demo", "nowhere")


def test_a_strangers_private_repository_is_not_found(
    hub: DockerHub, server: DockerHubServer
) -> None:
    server.store.add_repository("other", "app", is_private=True, admins=[])
    with pytest.raises(NotFound):
        hub.create_webhook("other", "app", "hook", HOOK_URL)


def test_a_strangers_public_repository_is_forbidden(
    hub: DockerHub, server: DockerHubServer
) -> None:
    server.store.add_repository("other", "app", admins=[])
    with pytest.raises(NotAdministrator):
        hub.create_webhook("other", "app", "hook", HOOK_URL)
    assert hub.repository("other", "app").can_admin is False


def test_the_right_to_manage_shows_before_the_first_write(hub: DockerHub) -> None:
    expected = HubRepository(name="web", is_private=False, can_admin=True)
    assert hub.repository("demo", "web") == expected


def test_a_list_that_continues_elsewhere_is_not_followed(
    server: DockerHubServer, settings: Settings
) -> None:
    asked: list[str] = []

    def lure(_request: Request) -> Response:
        asked.append("lured")
        return json_response({"results": []})

    def hub_that_lures(request: Request) -> Response:
        if "token" in request.path:
            return json_response({"access_token": "opaque"})
        return json_response({"results": [], "next": f"{elsewhere.url}/more/"})

    with HttpServer(lure) as elsewhere, HttpServer(hub_that_lures) as front:
        settings.OUTGOING_ALLOW = ["127.0.0.0/8"]
        with DockerHub(front.url, "demo", "x") as client, pytest.raises(Protocol):
            client.list_webhooks("demo", "web")
    assert asked == []


def test_a_webhook_does_not_show_its_url_when_it_is_logged(hub: DockerHub) -> None:
    assert "s3cr3t" not in repr(hub.create_webhook("demo", "web", "hook", HOOK_URL))


def test_a_refused_token_on_every_try_ends_as_unauthorized(
    hub: DockerHub, server: DockerHubServer
) -> None:
    server.failures.fail("list", Mode.UNAUTHORIZED, times=2)
    with pytest.raises(TokenRefused, match="signed the account in"):
        hub.list_webhooks("demo", "web")
