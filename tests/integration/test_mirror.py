"""Webhooks saved here stand in Docker Hub, change there when they change, and go when they go."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pytest_django.fixtures import Settings

from codestream.core.work import LeaseLostError, wake
from codestream.sandbox.dockerhub import DockerHubServer
from codestream.sandbox.dockerhub_failures import Mode
from endpoints.clients.dockerhub import DockerHub, HubWebhook
from executions.worker import drain
from tests.factories import DockerRegistryFactory, UserFactory
from tests.integration.claims import taken
from tests.integration.hub import PASSWORD, make_webhook, work_now
from webhooks.mirror import follow
from webhooks.mirror_services import retry_mirror
from webhooks.mirror_worker import reconcile
from webhooks.models import DockerWebhook, ListenerSecret, RemoteHook, SilentChangeError
from webhooks.services import delete_webhook, save_webhook, set_enabled

pytestmark = pytest.mark.django_db


@pytest.fixture
def server(settings: Settings) -> Iterator[DockerHubServer]:
    repositories = ["demo/web", "demo/api"]
    with DockerHubServer(username="demo", password=PASSWORD, repositories=repositories) as running:
        settings.OUTGOING_ALLOW = [running.url.removeprefix("http://")]
        yield running


@pytest.fixture
def webhook(server: DockerHubServer) -> DockerWebhook:
    return make_webhook(server)


def hooks(server: DockerHubServer, repository: str = "web") -> tuple[HubWebhook, ...]:
    with DockerHub(server.url, "demo", PASSWORD) as hub:
        return hub.list_webhooks("demo", repository)


def test_a_saved_webhook_stands_in_docker_hub_with_its_address(
    server: DockerHubServer, webhook: DockerWebhook
) -> None:
    drain()

    secret = ListenerSecret.objects.get().secret
    assert [hook.hook_urls for hook in hooks(server)] == [(webhook.hook_url(secret),)]
    assert RemoteHook.objects.get().is_settled


def test_saving_again_without_a_change_calls_nobody(
    server: DockerHubServer, webhook: DockerWebhook
) -> None:
    drain()
    before = hooks(server)

    set_enabled(webhook=webhook, enabled=False, by=UserFactory())

    assert drain() == 0
    assert hooks(server) == before


def test_a_new_name_needs_no_other_hook(server: DockerHubServer, webhook: DockerWebhook) -> None:
    """Two hooks with the same address would deliver every push twice."""
    drain()
    before = hooks(server)
    webhook.name = "nightly"
    save_webhook(webhook, by=UserFactory())

    work_now()

    assert hooks(server) == before


def test_an_endpoint_that_points_elsewhere_takes_its_hooks_along(
    server: DockerHubServer, webhook: DockerWebhook
) -> None:
    drain()
    endpoint = webhook.endpoint
    endpoint.properties = {**endpoint.properties, "repoURL": f"{server.url}/r/demo/api"}
    endpoint.save()

    work_now()

    assert (len(hooks(server, "web")), len(hooks(server, "api"))) == (0, 1)
    assert RemoteHook.objects.get().is_settled


def test_a_delete_that_did_not_happen_is_not_believed(
    server: DockerHubServer, webhook: DockerWebhook
) -> None:
    drain()
    server.failures.fail("delete", Mode.NOT_FOUND_HTML, times=1)

    delete_webhook(webhook=webhook)
    drain()
    assert RemoteHook.objects.get().error_code
    work_now()

    assert hooks(server) == ()
    assert not RemoteHook.objects.exists()


def test_another_endpoint_moves_the_hook(server: DockerHubServer, webhook: DockerWebhook) -> None:
    drain()
    webhook.endpoint = DockerRegistryFactory(
        project=webhook.project,
        properties={"serverType": "DockerHub", "repoURL": f"{server.url}/r/demo/api"},
        credentials={"username": "demo", "password": PASSWORD},
    )
    save_webhook(webhook, by=UserFactory())

    work_now()

    assert (len(hooks(server, "web")), len(hooks(server, "api"))) == (0, 1)


def test_a_deleted_webhook_goes_from_docker_hub_too(
    server: DockerHubServer, webhook: DockerWebhook
) -> None:
    drain()

    delete_webhook(webhook=webhook)
    drain()

    assert hooks(server) == ()
    assert not RemoteHook.objects.exists()


def test_deleting_through_a_queryset_is_mirrored_as_well(
    server: DockerHubServer, webhook: DockerWebhook
) -> None:
    drain()

    DockerWebhook.objects.all().delete()
    drain()

    assert hooks(server) == ()


def test_a_lost_answer_leaves_exactly_one_hook(
    server: DockerHubServer, webhook: DockerWebhook
) -> None:
    server.failures.fail("create", Mode.ANSWER_LOST, times=1)

    drain()
    assert RemoteHook.objects.get().error_code == "unreachable"
    work_now()

    assert len(hooks(server)) == 1
    assert RemoteHook.objects.get().is_settled


def test_a_refusal_is_kept_and_new_credentials_are_tried_at_once(
    server: DockerHubServer, webhook: DockerWebhook
) -> None:
    endpoint = webhook.endpoint
    endpoint.credentials = {"username": "demo", "password": "wrong"}
    endpoint.save()
    drain()
    failed = RemoteHook.objects.get()
    assert failed.error_code == "unauthorized"
    assert failed.message
    assert failed.wake_at is None

    endpoint.credentials = {"username": "demo", "password": PASSWORD}
    endpoint.save()
    drain()

    assert RemoteHook.objects.get().is_settled
    assert len(hooks(server)) == 1


def test_a_person_can_have_it_tried_again_at_once(
    server: DockerHubServer, webhook: DockerWebhook
) -> None:
    server.failures.fail("create", Mode.FORBIDDEN, times=1)
    drain()
    assert RemoteHook.objects.get().error_code == "token_lacks_right"

    retry_mirror(webhook=webhook)
    drain()

    assert RemoteHook.objects.get().is_settled


def test_an_address_kept_by_hand_is_not_mirrored(
    server: DockerHubServer, webhook: DockerWebhook
) -> None:
    webhook.mirror_mode = DockerWebhook.MirrorMode.MANUAL
    save_webhook(webhook, by=UserFactory())

    drain()

    assert hooks(server) == ()


def test_another_public_url_replaces_the_hook(
    server: DockerHubServer, webhook: DockerWebhook, settings: Settings
) -> None:
    drain()
    settings.PUBLIC_URL = "https://moved.example.com"

    follow(DockerWebhook.objects.all())
    work_now()

    assert [url[:25] for hook in hooks(server) for url in hook.hook_urls] == [
        "https://moved.example.com"
    ]


def test_bulk_changes_are_refused_since_nobody_would_hear_of_them(
    webhook: DockerWebhook,
) -> None:
    with pytest.raises(SilentChangeError):
        DockerWebhook.objects.update(name="x")
    with pytest.raises(SilentChangeError):
        DockerWebhook.objects.bulk_create([webhook])


def test_a_late_worker_makes_no_hook_of_a_webhook_that_is_deleted(
    server: DockerHubServer, webhook: DockerWebhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    claimed = taken(webhook.remote_hooks.get())
    look = DockerHub.list_webhooks

    def stand_still(hub: DockerHub, *place: str) -> tuple[HubWebhook, ...]:
        monkeypatch.undo()
        seen = look(hub, *place)
        work_now()
        delete_webhook(webhook=webhook)
        work_now()
        return seen

    monkeypatch.setattr(DockerHub, "list_webhooks", stand_still)
    with pytest.raises(LeaseLostError):
        reconcile(claimed)

    assert hooks(server) == ()


def test_a_late_worker_leaves_the_hook_alone_that_is_wanted_again(
    server: DockerHubServer, webhook: DockerWebhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    drain()
    row = webhook.remote_hooks.get()
    RemoteHook.objects.filter(pk=row.pk).update(desired=RemoteHook.Presence.ABSENT)
    wake(RemoteHook, row.pk)
    claimed = taken(row)
    look = DockerHub.list_webhooks

    def stand_still(hub: DockerHub, *place: str) -> tuple[HubWebhook, ...]:
        monkeypatch.undo()
        seen = look(hub, *place)
        RemoteHook.objects.filter(pk=row.pk).update(desired=RemoteHook.Presence.PRESENT)
        work_now()
        return seen

    monkeypatch.setattr(DockerHub, "list_webhooks", stand_still)
    with pytest.raises(LeaseLostError):
        reconcile(claimed)

    assert len(hooks(server)) == 1
