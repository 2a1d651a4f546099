"""What somebody changes in Docker Hub behind our back is found, said, and mended where it is safe;
and a hook that a person keeps there is no less in order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from pytest_django.fixtures import Settings

from codestream.core.clock import now
from codestream.core.errors import Refused
from codestream.sandbox.dockerhub import DockerHubServer
from codestream.sandbox.dockerhub_failures import Mode
from endpoints.clients.dockerhub import DockerHub
from endpoints.services import delete_endpoint
from executions.worker import drain
from tests.factories import DockerRegistryFactory, DockerWebhookFactory, UserFactory
from tests.integration.hub import PASSWORD, live_url, make_webhook, repository, urls, work_now
from tests.secrets import replace_secret
from webhooks.mirror_services import (
    change_keeper,
    check_mirror,
    confirm_by_hand,
    forget_hook,
    repair_mirror,
    retry_mirror,
)
from webhooks.mirror_sight import Drift
from webhooks.mirror_state import mirror_state
from webhooks.models import DockerWebhook, RemoteHook
from webhooks.services import delete_webhook, save_webhook

pytestmark = pytest.mark.django_db
STRANGER = "https://elsewhere.example.com/hook"
MANUAL, AUTO = DockerWebhook.MirrorMode.MANUAL, DockerWebhook.MirrorMode.AUTO


@pytest.fixture
def server(settings: Settings) -> Iterator[DockerHubServer]:
    repositories = ["demo/web", "demo/api"]
    with DockerHubServer(username="demo", password=PASSWORD, repositories=repositories) as running:
        settings.OUTGOING_ALLOW = [running.url.removeprefix("http://")]
        yield running


@pytest.fixture
def webhook(server: DockerHubServer) -> DockerWebhook:
    """A webhook that stands in Docker Hub."""
    made = make_webhook(server)
    drain()
    return made


def word(webhook: DockerWebhook) -> str:
    return mirror_state(DockerWebhook.objects.get(pk=webhook.pk)).word


def remove(server: DockerHubServer) -> None:
    repository(server).hooks.clear()


def double(server: DockerHubServer, name: str = "made by hand") -> None:
    hook = repository(server).hooks[0]
    repository(server).add_hook(name, hook.hook_url, expect_final_callback=False)


def change(server: DockerHubServer) -> None:
    repository(server).hooks[0].hook_url = STRANGER


def post(webhook: DockerWebhook, address: str) -> int:
    """Deliver a push as Docker Hub does, and return the answer's status."""
    secret = address.partition("secureToken=")[2]
    url = f"{webhook.listener_path}?secureToken={secret}"
    body = {"push_data": {"tag": "1"}, "repository": {"repo_name": "demo/web"}}
    return Client().post(url, body, content_type="application/json").status_code


def test_a_check_that_finds_all_in_order_changes_the_time_of_the_look_only(
    webhook: DockerWebhook, server: DockerHubServer
) -> None:
    RemoteHook.objects.update(since=now() - timedelta(days=3), checked_at=None)

    check_mirror(webhook=webhook)
    assert word(webhook) == "Being checked in Docker Hub"
    drain()

    hook = RemoteHook.objects.get()
    assert hook.is_settled
    assert hook.since is not None
    assert hook.checked_at is not None
    assert now() - hook.since > timedelta(days=2)
    assert now() - hook.checked_at < timedelta(minutes=1)
    assert urls(server) == [live_url(webhook)]


@pytest.mark.parametrize(
    ("meddle", "drift", "words"),
    [
        (remove, Drift.MISSING, "Removed in Docker Hub"),
        (change, Drift.CHANGED, "Changed in Docker Hub"),
        (double, Drift.DOUBLED, "More than once in Docker Hub"),
    ],
)
def test_a_check_says_what_somebody_did_and_a_repair_mends_it(
    webhook: DockerWebhook, server: DockerHubServer, meddle: object, drift: Drift, words: str
) -> None:
    assert callable(meddle)
    meddle(server)
    before = urls(server)

    check_mirror(webhook=webhook)
    drain()
    assert (RemoteHook.objects.get().drift, word(webhook)) == (drift, words)
    assert urls(server) == before

    repair_mirror(webhook=webhook)
    assert word(webhook) == "Being repaired in Docker Hub"
    work_now()
    assert RemoteHook.objects.get().is_settled
    assert urls(server).count(live_url(webhook)) == 1
    assert urls(server).count(STRANGER) == before.count(STRANGER)


def test_by_itself_it_makes_again_what_is_missing(
    webhook: DockerWebhook, server: DockerHubServer
) -> None:
    remove(server)
    work_now()
    assert urls(server) == [live_url(webhook)]
    assert word(webhook) == "In sync"


def test_by_itself_it_deletes_a_second_hook_only_if_it_made_that_one(
    webhook: DockerWebhook, server: DockerHubServer
) -> None:
    made_here = RemoteHook.objects.get().remote_name.rpartition("-")[0]
    double(server, f"{made_here}-7")
    double(server, "made by hand")

    work_now()

    assert sorted(hook.name for hook in repository(server).hooks) == [
        "made by hand",
        f"{made_here}-1",
    ]
    assert word(webhook) == "More than once in Docker Hub"


def test_by_itself_it_leaves_a_hook_alone_that_somebody_pointed_elsewhere(
    webhook: DockerWebhook, server: DockerHubServer
) -> None:
    change(server)
    work_now()
    work_now()
    assert urls(server) == [STRANGER]
    assert word(webhook) == "Changed in Docker Hub"


def test_what_was_set_right_in_docker_hub_is_found_in_order_again(
    webhook: DockerWebhook, server: DockerHubServer
) -> None:
    change(server)
    work_now()
    repository(server).hooks[0].hook_url = live_url(webhook)
    work_now()
    assert word(webhook) == "In sync"


def test_the_next_look_is_hours_away_and_not_at_the_same_time_for_all(
    server: DockerHubServer, settings: Settings
) -> None:
    settings.MIRROR_CHECK_HOURS = 8
    for _ in range(4):
        make_webhook(server)
    drain()

    waits = {hook.wake_at - now() for hook in RemoteHook.objects.all() if hook.wake_at}
    assert len(waits) == 4
    assert all(timedelta(hours=5.9) < wait <= timedelta(hours=10) for wait in waits)


def test_the_look_may_be_left_to_people(server: DockerHubServer, settings: Settings) -> None:
    settings.MIRROR_CHECK_HOURS = 0
    make_webhook(server)
    drain()
    assert RemoteHook.objects.get().wake_at is None


def test_a_hook_that_already_calls_the_address_is_adopted(server: DockerHubServer) -> None:
    webhook = make_webhook(server)
    repository(server).add_hook("by hand", live_url(webhook), expect_final_callback=False)

    drain()

    assert [hook.name for hook in repository(server).hooks] == ["by hand"]
    assert word(webhook) == "In sync"


def test_a_name_that_somebody_took_is_left_to_them(server: DockerHubServer) -> None:
    webhook = make_webhook(server)
    name = RemoteHook.objects.get().remote_name
    repository(server).add_hook(name, STRANGER, expect_final_callback=False)

    work_now()

    assert sorted(urls(server)) == sorted([STRANGER, live_url(webhook)])
    assert RemoteHook.objects.get().remote_name == f"{name.rpartition('-')[0]}-2"


@pytest.mark.parametrize("status", [400, 409])
def test_a_create_that_a_list_hid_is_adopted(server: DockerHubServer, status: int) -> None:
    webhook = make_webhook(server)
    server.habits.name_taken = status
    server.failures.fail("create", Mode.ANSWER_LOST)
    drain()
    server.failures.fail("list", Mode.LIST_IS_OLD)

    work_now()

    assert urls(server) == [live_url(webhook)]
    assert RemoteHook.objects.get().is_settled


def test_a_removed_hook_that_a_list_hides_is_deleted_all_the_same(
    webhook: DockerWebhook, server: DockerHubServer
) -> None:
    server.failures.fail("list", Mode.LIST_IS_OLD)
    delete_webhook(webhook=webhook)
    drain()
    assert urls(server) == []


def test_both_secrets_are_accepted_until_the_old_hook_is_gone(
    webhook: DockerWebhook, server: DockerHubServer
) -> None:
    old = live_url(webhook)
    server.failures.fail("create", Mode.FAULT)

    replace_secret(webhook=webhook, by=UserFactory())
    drain()
    new = live_url(webhook)
    assert urls(server) == [old]
    assert (post(webhook, old), post(webhook, new)) == (200, 200)

    work_now()
    work_now()
    assert urls(server) == [new]
    assert (post(webhook, old), post(webhook, new)) == (403, 200)


def test_the_old_hook_stays_as_long_as_the_new_one_is_refused(
    webhook: DockerWebhook, server: DockerHubServer
) -> None:
    old = live_url(webhook)
    server.failures.fail("create", Mode.FORBIDDEN, times=9)
    replace_secret(webhook=webhook, by=UserFactory())
    work_now()
    work_now()
    assert urls(server) == [old]
    assert word(webhook) == "Not created in Docker Hub"


def test_an_address_that_comes_back_is_the_same_hook(
    webhook: DockerWebhook, server: DockerHubServer
) -> None:
    endpoint = webhook.endpoint
    for name in ("api", "web"):
        endpoint.properties = {**endpoint.properties, "repoURL": f"{server.url}/r/demo/{name}"}
        endpoint.save()
    work_now()
    work_now()
    assert (urls(server, "api"), urls(server)) == ([], [live_url(webhook)])
    assert RemoteHook.objects.get().is_settled


def test_another_account_of_the_same_repository_takes_the_hook_over(
    webhook: DockerWebhook, server: DockerHubServer
) -> None:
    before = [hook.slug for hook in repository(server).hooks]
    webhook.endpoint = DockerRegistryFactory(
        project=webhook.project,
        properties=webhook.endpoint.properties,
        credentials=webhook.endpoint.credentials,
    )
    save_webhook(webhook, by=UserFactory())
    work_now()
    assert [hook.slug for hook in repository(server).hooks] == before
    assert RemoteHook.objects.get().endpoint == webhook.endpoint


def during(monkeypatch: pytest.MonkeyPatch, call: str, act: Callable[[], object]) -> None:
    """Let a person act while a worker waits for Docker Hub's answer to its first such call."""
    original, acts = getattr(DockerHub, call), [act]

    def slow(*args: Any) -> Any:
        answer = original(*args)
        if acts:
            acts.pop()()
        return answer

    monkeypatch.setattr(DockerHub, call, slow)


def test_a_webhook_that_is_deleted_while_its_hook_is_created_leaves_none(
    server: DockerHubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    webhook = make_webhook(server)
    during(monkeypatch, "create_webhook", lambda: delete_webhook(webhook=webhook))
    work_now()
    assert urls(server) == []
    assert not RemoteHook.objects.exists()


def test_an_address_that_comes_back_while_its_hook_is_deleted_is_made_again(
    webhook: DockerWebhook, server: DockerHubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = webhook.endpoint

    def point_at(name: str) -> None:
        endpoint.properties = {**endpoint.properties, "repoURL": f"{server.url}/r/demo/{name}"}
        endpoint.save()

    during(monkeypatch, "delete_webhook", lambda: point_at("web"))
    point_at("api")
    for _ in range(3):
        work_now()

    assert (urls(server, "api"), urls(server)) == ([], [live_url(webhook)])
    assert RemoteHook.objects.get().is_settled


def test_a_secret_that_is_replaced_while_the_hook_is_created_replaces_it(
    server: DockerHubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    webhook = make_webhook(server)
    by = UserFactory()
    during(monkeypatch, "create_webhook", lambda: replace_secret(webhook=webhook, by=by))
    for _ in range(3):
        work_now()
    assert urls(server) == [live_url(webhook)]
    assert webhook.secrets.count() == 1


def test_a_wrong_password_of_many_webhooks_is_tried_once(server: DockerHubServer) -> None:
    first = make_webhook(server)
    for _ in range(5):
        DockerWebhookFactory(project=first.project, endpoint=first.endpoint, mirror_mode=AUTO)
    endpoint = first.endpoint
    endpoint.credentials = {"username": "demo", "password": "wrong"}
    endpoint.save()

    work_now()

    assert server.store.accounts.accounts["demo"].failures == 1
    assert set(RemoteHook.objects.values_list("error_code", "wake_at")) == {("unauthorized", None)}

    endpoint.credentials = {"username": "demo", "password": PASSWORD}
    endpoint.save()
    work_now()
    assert len(urls(server)) == 6


def test_a_retry_of_one_webhook_looks_at_all_that_the_account_kept_waiting(
    server: DockerHubServer,
) -> None:
    first = make_webhook(server)
    DockerWebhookFactory(project=first.project, endpoint=first.endpoint, mirror_mode=AUTO)
    RemoteHook.objects.update(error_code="second_factor", message="x", wake_at=None)

    retry_mirror(webhook=first)
    drain()

    assert len(urls(server)) == 2


def test_a_rate_limit_is_waited_for(server: DockerHubServer) -> None:
    make_webhook(server)
    server.failures.fail("list", Mode.RATE_LIMIT)
    drain()
    hook = RemoteHook.objects.get()
    assert hook.error_code == "rate_limited"
    assert hook.wake_at is not None
    assert timedelta(seconds=20) < hook.wake_at - now() <= timedelta(seconds=30)


def test_by_hand_the_card_says_what_is_to_be_done_until_somebody_says_that_it_is(
    server: DockerHubServer,
) -> None:
    webhook = make_webhook(server)
    change_keeper(webhook=webhook, mode=MANUAL, by=UserFactory())
    work_now()
    assert urls(server) == []
    assert word(webhook) == "To be pasted into Docker Hub"

    confirm_by_hand(webhook=webhook, by=UserFactory())

    assert word(webhook) == "Kept by hand"


def test_a_hook_that_stands_is_handed_over_and_back_without_a_gap(
    webhook: DockerWebhook, server: DockerHubServer
) -> None:
    before = [hook.slug for hook in repository(server).hooks]
    change_keeper(webhook=webhook, mode=MANUAL, by=UserFactory())
    work_now()
    assert word(webhook) == "Kept by hand"
    change_keeper(webhook=webhook, mode=AUTO, by=UserFactory())
    work_now()
    assert word(webhook) == "In sync"
    assert [hook.slug for hook in repository(server).hooks] == before


def test_nobody_else_keeps_a_hook(webhook: DockerWebhook) -> None:
    with pytest.raises(Refused):
        change_keeper(webhook=webhook, mode="NOBODY", by=UserFactory())


def test_a_new_secret_of_a_hook_kept_by_hand_is_pasted_before_the_old_one_ends(
    server: DockerHubServer,
) -> None:
    webhook = make_webhook(server)
    change_keeper(webhook=webhook, mode=MANUAL, by=UserFactory())
    confirm_by_hand(webhook=webhook, by=UserFactory())
    old = live_url(webhook)

    replace_secret(webhook=webhook, by=UserFactory())
    assert word(webhook) == "To be pasted into Docker Hub"
    confirm_by_hand(webhook=webhook, by=UserFactory())
    assert word(webhook) == "The old one is to be removed from Docker Hub by hand"
    assert post(webhook, old) == 200

    forget_hook(hook=RemoteHook.objects.get(desired="ABSENT"), by=UserFactory())
    assert word(webhook) == "Kept by hand"
    assert post(webhook, old) == 403


def test_a_hook_that_is_wanted_is_not_forgotten(webhook: DockerWebhook) -> None:
    with pytest.raises(Refused):
        forget_hook(hook=RemoteHook.objects.get(), by=UserFactory())


def test_what_was_never_made_leaves_nothing_behind(server: DockerHubServer) -> None:
    webhook = make_webhook(server)
    server.failures.fail("*", Mode.FAULT, times=99)
    delete_webhook(webhook=webhook)
    assert not RemoteHook.objects.exists()


@pytest.mark.parametrize("mode", [MANUAL, AUTO])
def test_an_endpoint_waits_for_the_hooks_that_nobody_could_remove(
    webhook: DockerWebhook, server: DockerHubServer, mode: str
) -> None:
    change_keeper(webhook=webhook, mode=mode, by=UserFactory())
    endpoint = webhook.endpoint
    server.failures.fail("*", Mode.FORBIDDEN, times=99)
    delete_webhook(webhook=webhook)
    drain()

    left = RemoteHook.objects.get()
    with pytest.raises(Refused, match=left.remote_name):
        delete_endpoint(endpoint=endpoint)

    forget_hook(hook=left, by=UserFactory())
    delete_endpoint(endpoint=endpoint)
