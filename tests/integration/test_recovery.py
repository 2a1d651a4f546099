"""A push whose delivery never came is found at Docker Hub, once, and judged like all others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from django.db.models import QuerySet
from django.utils.translation import override
from pytest_django.fixtures import Settings

from codestream.core.clock import now
from codestream.core.templatetags.look import said
from codestream.core.words import Words
from codestream.operations import retention
from codestream.operations.chores import ensure_chores
from codestream.operations.models import Chore
from codestream.operations.recovery import LOST_PUSHES
from codestream.sandbox.dockerhub import DockerHubServer
from codestream.sandbox.dockerhub_failures import Mode
from executions.models import Execution, Worker
from executions.worker import drain
from tests.factories import (
    DockerRegistryFactory,
    DockerWebhookFactory,
    MembershipFactory,
    UserFactory,
)
from tests.integration.cast import Cast, get
from webhooks import digests
from webhooks.models import DockerWebhook, Push, RegistryEvent
from webhooks.recovery import look_for_pushes
from webhooks.services import receive_event, rerun_event, set_enabled, stop_webhook

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


@pytest.fixture
def hub(settings: Settings) -> Iterator[DockerHubServer]:
    with DockerHubServer(username="demo", password="hub-password") as server:
        settings.OUTGOING_ALLOW = [urlsplit(server.url).netloc]
        settings.DOCKER_HUB_URL = server.url
        digests.forget()
        yield server


@pytest.fixture
def webhook(hub: DockerHubServer) -> DockerWebhook:
    """A webhook that has looked for lost pushes for an hour."""
    webhook = DockerWebhookFactory.create(recovery=DockerWebhook.Recovery.ON, pin_digest=True)
    DockerRegistryFactory._meta.model.objects.update(
        credentials={"username": "demo", "password": "hub-password"}
    )
    webhook.endpoint.refresh_from_db()
    webhook.recover_since = now() - HOUR
    webhook.save()
    return webhook


def pushed(hub: DockerHubServer, tag: str, *, ago: timedelta, again: bool = False) -> str:
    """Push without a delivery, some time ago, the same image ``again``; return the digest."""
    repository = hub.store.add_repository("demo", "web")
    held = repository.tags[tag] if again else repository.push(tag)
    held.last_updated = (now() - ago).isoformat().replace("+00:00", "Z")
    return held.digest


def age(*models: type[RegistryEvent | Push], days: int) -> None:
    """Let everything of these have been written down so long ago."""
    for model in models:
        model.objects.update(created_at=now() - timedelta(days=days))


def found(webhook: DockerWebhook) -> list[RegistryEvent]:
    """Look, judge, and return everything that is written down, oldest first."""
    webhook.refresh_from_db()
    look_for_pushes(webhook=webhook)
    drain()
    return list(RegistryEvent.objects.order_by("created_at"))


def test_a_lost_push_runs_once(hub: DockerHubServer, webhook: DockerWebhook) -> None:
    digest = pushed(hub, "1.2.3", ago=HOUR / 2)

    (event,) = found(webhook)

    assert (event.source, event.verdict, event.digest) == ("RECOVERED", "TRIGGERED", digest)
    assert Execution.objects.get().inputs["DOCKER_TAG"] == "1.2.3"
    assert found(webhook) == [event]


def test_a_delivery_that_comes_after_all_is_a_duplicate(
    hub: DockerHubServer, webhook: DockerWebhook
) -> None:
    pushed(hub, "1.2.3", ago=HOUR / 2)
    (event,) = found(webhook)

    receive_event(webhook=webhook, body=bytes(event.body), headers={}, remote_addr=None)
    drain()

    assert RegistryEvent.objects.get(source="DELIVERY").duplicate_of == event
    assert Execution.objects.count() == 1


def test_a_push_whose_delivery_came_is_not_lost(
    hub: DockerHubServer, webhook: DockerWebhook
) -> None:
    pushed(hub, "1.2.3", ago=HOUR / 2)
    (event,) = found(webhook)
    RegistryEvent.objects.update(source="DELIVERY", created_at=now() - HOUR / 2)

    assert found(webhook) == [event]


def test_a_push_whose_delivery_is_deleted_after_its_time_is_not_lost(
    hub: DockerHubServer, webhook: DockerWebhook, settings: Settings
) -> None:
    settings.RETENTION_EVENTS_DAYS = 90
    DockerWebhook.objects.note_look(webhook, look_at=now(), message=Words(""))
    QuerySet.update(DockerWebhook.objects.all(), recover_since=now() - timedelta(days=200))
    pushed(hub, "1.2.3", ago=timedelta(days=91))
    pushed(hub, "1.2.4", ago=timedelta(days=89))

    assert [event.tag for event in found(webhook)] == ["1.2.4"]


@pytest.mark.parametrize("pin_digest", [True, False])
@pytest.mark.parametrize("days", [90, 0])
def test_a_push_that_ran_is_not_lost_when_deliveries_are_kept_for_longer_from_now_on(
    hub: DockerHubServer, webhook: DockerWebhook, settings: Settings, days: int, pin_digest: bool
) -> None:
    settings.RETENTION_EVENTS_DAYS = 30
    webhook.pin_digest, webhook.recover_since = pin_digest, now() - timedelta(days=200)
    webhook.save()
    pushed(hub, "1.2.3", ago=timedelta(days=29))
    found(webhook)
    age(RegistryEvent, Push, days=40)
    pushed(hub, "1.2.3", ago=timedelta(days=41), again=True)
    retention.clean(lambda: False)
    assert not RegistryEvent.objects.exists()

    settings.RETENTION_EVENTS_DAYS = days

    assert found(webhook) == []
    assert Execution.objects.count() == 1


def test_the_same_image_pushed_again_is_not_lost_when_the_first_delivery_goes(
    hub: DockerHubServer, webhook: DockerWebhook, settings: Settings
) -> None:
    settings.RETENTION_EVENTS_DAYS = 30
    QuerySet.update(DockerWebhook.objects.all(), recover_since=now() - timedelta(days=200))
    pushed(hub, "1.2.3", ago=timedelta(days=29))
    found(webhook)
    pushed(hub, "1.2.3", ago=timedelta(days=10), again=True)
    age(RegistryEvent, Push, days=31)
    retention.clean(lambda: False)

    assert found(webhook) == []
    assert Execution.objects.count() == 1


def test_what_failed_is_not_lost_though_the_clock_here_is_behind_docker_hub_s(
    hub: DockerHubServer, webhook: DockerWebhook
) -> None:
    digest = pushed(hub, "1.2.3", ago=HOUR / 2)
    told = found(webhook)
    told_early = now() - HOUR / 2 - timedelta(seconds=40)
    failed = {"source": "DELIVERY", "verdict": "FAILED", "push": None, "execution": None}
    RegistryEvent.objects.update(**failed, digest=digest, created_at=told_early)
    Push.objects.all().delete()

    assert found(webhook) == told


@pytest.mark.django_db(transaction=True)
def test_a_webhook_that_is_deleted_under_the_look_stops_no_other(
    hub: DockerHubServer, webhook: DockerWebhook
) -> None:
    pushed(hub, "1.2.3", ago=HOUR / 2)
    DockerWebhook.objects.get().delete()

    assert look_for_pushes(webhook=webhook) == 0
    assert not RegistryEvent.objects.exists()


def test_a_newer_push_of_a_tag_that_is_known_is_found(
    hub: DockerHubServer, webhook: DockerWebhook
) -> None:
    pushed(hub, "latest", ago=HOUR / 2)
    found(webhook)
    RegistryEvent.objects.update(created_at=now() - HOUR / 2)
    pushed(hub, "latest", ago=HOUR / 4)

    assert [event.verdict for event in found(webhook)] == ["TRIGGERED", "TRIGGERED"]


def test_a_push_right_after_one_that_was_told_of_is_found(
    hub: DockerHubServer, webhook: DockerWebhook
) -> None:
    pushed(hub, "latest", ago=HOUR / 4)
    found(webhook)
    RegistryEvent.objects.update(source="DELIVERY", created_at=now() - HOUR / 4)
    pushed(hub, "latest", ago=HOUR / 4 - timedelta(seconds=30))

    assert [event.verdict for event in found(webhook)] == ["TRIGGERED", "TRIGGERED"]


def test_a_push_of_what_the_tag_stood_for_before_is_found(
    hub: DockerHubServer, webhook: DockerWebhook
) -> None:
    first = pushed(hub, "latest", ago=3 * HOUR / 4)
    found(webhook)
    RegistryEvent.objects.update(created_at=now() - 3 * HOUR / 4)
    pushed(hub, "latest", ago=HOUR / 2)
    found(webhook)
    RegistryEvent.objects.filter(created_at__gt=now() - HOUR / 2).update(
        created_at=now() - HOUR / 2
    )
    pushed(hub, "latest", ago=HOUR / 4)
    hub.store.add_repository("demo", "web").tags["latest"].digest = first

    assert [event.digest for event in found(webhook)][::2] == [first, first]
    assert Execution.objects.count() == 3


def test_what_a_person_let_run_again_does_not_hide_a_lost_push(
    hub: DockerHubServer, webhook: DockerWebhook
) -> None:
    pushed(hub, "latest", ago=HOUR / 2)
    (event,) = found(webhook)
    RegistryEvent.objects.update(created_at=now() - HOUR / 2)
    pushed(hub, "latest", ago=HOUR / 4)
    rerun_event(event=event, by=UserFactory.create())
    drain()

    assert [event.source for event in found(webhook)] == ["RECOVERED", "RERUN", "RECOVERED"]


@pytest.mark.parametrize("ago", [timedelta(seconds=10), 2 * HOUR])
def test_what_may_still_come_and_what_was_before_the_wish_are_left_alone(
    hub: DockerHubServer, webhook: DockerWebhook, ago: timedelta
) -> None:
    pushed(hub, "1.2.3", ago=ago)

    assert found(webhook) == []


def test_nothing_is_looked_for_while_a_delivery_waits(
    hub: DockerHubServer, webhook: DockerWebhook
) -> None:
    pushed(hub, "1.2.3", ago=HOUR / 2)
    receive_event(webhook=webhook, body=b"{}", headers={}, remote_addr=None)

    assert look_for_pushes(webhook=webhook) == 0


def test_record_only_starts_nothing_until_somebody_says_so(
    hub: DockerHubServer, webhook: DockerWebhook
) -> None:
    webhook.recovery = DockerWebhook.Recovery.RECORD
    webhook.save()
    pushed(hub, "1.2.3", ago=HOUR / 2)

    (event,) = found(webhook)

    assert (event.verdict, event.reason_code) == ("IGNORED", "record_only")
    rerun_event(event=event, by=UserFactory.create())
    drain()
    assert Execution.objects.count() == 1


def test_the_patterns_hold_for_found_pushes_too(
    hub: DockerHubServer, webhook: DockerWebhook
) -> None:
    webhook.tag_pattern = "2.*"
    webhook.save()
    pushed(hub, "1.2.3", ago=HOUR / 2)

    (event,) = found(webhook)

    assert (event.verdict, event.reason_code) == ("IGNORED", "tag_pattern")


@pytest.mark.parametrize("mode", [Mode.RATE_LIMIT, Mode.FAULT_HTML, Mode.NOT_JSON, Mode.FORBIDDEN])
def test_a_look_that_failed_says_why_and_comes_again(
    hub: DockerHubServer, webhook: DockerWebhook, mode: Mode
) -> None:
    pushed(hub, "1.2.3", ago=HOUR / 2)
    hub.failures.fail("tags", mode)

    assert found(webhook) == []
    webhook.refresh_from_db()
    with override("it"):
        assert said(webhook.look_message) != str(webhook.look_message)
    assert webhook.look_at is not None
    assert webhook.look_at > now()
    assert len(found(webhook)) == 1


def test_the_chore_looks_when_it_is_time(
    hub: DockerHubServer, webhook: DockerWebhook, settings: Settings
) -> None:
    off = DockerWebhookFactory.create()
    DockerWebhookFactory.create(recovery="ON", enabled=False)
    pushed(hub, "1.2.3", ago=HOUR / 2)

    first, second = (LOST_PUSHES.run(lambda: False).message for _ in range(2))

    assert first == "1 repositories looked at, 1 pushes found."
    assert second == "0 repositories looked at, 0 pushes found."
    off.refresh_from_db()
    assert off.recover_since is None


def test_the_look_after_a_time_without_a_worker_waits_for_no_turn(
    hub: DockerHubServer, webhook: DockerWebhook
) -> None:
    ensure_chores(using="default")
    LOST_PUSHES.run(lambda: False)
    pushed(hub, "1.2.3", ago=HOUR / 2)
    limited = DockerWebhookFactory.create(recovery="ON")
    DockerWebhook.objects.note_look(limited, look_at=now() + HOUR, message=Words(""))
    chore = Chore.objects.filter(name=LOST_PUSHES.name)

    chore.update(last_run_at=now() - timedelta(minutes=1))
    Worker.objects.create(id=uuid4(), host="a", pid=1, heartbeat_at=now(), threads=1)
    after_a_start = LOST_PUSHES.run(lambda: False).message
    chore.update(last_run_at=now())
    DockerWebhook.objects.note_look(webhook, look_at=now() + HOUR / 10, message=Words(""))
    later = LOST_PUSHES.run(lambda: False).message

    assert after_a_start == "1 repositories looked at, 1 pushes found."
    assert later == "0 repositories looked at, 0 pushes found."


def test_a_push_that_may_be_on_its_way_still_is_looked_for_again_soon(
    hub: DockerHubServer, webhook: DockerWebhook
) -> None:
    pushed(hub, "1.2.3", ago=timedelta(seconds=10))

    assert found(webhook) == []

    webhook.refresh_from_db()
    assert webhook.look_at is not None
    assert webhook.look_at < now() + timedelta(minutes=3)


def switch_by_service(webhook: DockerWebhook, *, enabled: bool) -> None:
    set_enabled(webhook=webhook, enabled=enabled, by=UserFactory.create())


def switch_by_saving(webhook: DockerWebhook, *, enabled: bool) -> None:
    webhook.enabled = enabled
    webhook.save()


@pytest.mark.parametrize("switch", [switch_by_service, switch_by_saving])
def test_what_was_pushed_before_it_was_enabled_again_is_not_looked_for(
    hub: DockerHubServer, webhook: DockerWebhook, switch: Callable[..., None]
) -> None:
    pushed(hub, "1.2.3", ago=HOUR / 2)

    switch(webhook, enabled=False)
    switch(webhook, enabled=True)

    assert found(webhook) == []


def test_a_loop_that_was_mended_begins_to_look_anew(
    hub: DockerHubServer, webhook: DockerWebhook
) -> None:
    pushed(hub, "1.2.3", ago=HOUR / 2)

    stop_webhook(webhook=webhook, because=Words("a loop"))
    switch_by_service(webhook, enabled=True)

    assert found(webhook) == []


def test_enabling_what_is_enabled_forgets_no_push(
    hub: DockerHubServer, webhook: DockerWebhook
) -> None:
    pushed(hub, "1.2.3", ago=HOUR / 2)

    switch_by_service(webhook, enabled=True)

    assert len(found(webhook)) == 1


def test_enabling_shortens_no_wait_that_docker_hub_asked_for(
    hub: DockerHubServer, webhook: DockerWebhook
) -> None:
    switch_by_service(webhook, enabled=False)
    DockerWebhook.objects.note_look(webhook, look_at=now() + HOUR, message=Words(""))
    webhook.refresh_from_db()

    switch_by_service(webhook, enabled=True)

    webhook.refresh_from_db()
    assert webhook.look_at is not None
    assert webhook.look_at > now()


def test_the_card_of_a_disabled_one_says_that_nothing_is_looked_for(
    cast: Cast, webhook: DockerWebhook
) -> None:
    webhook.enabled = False
    webhook.save()
    MembershipFactory.create(project=webhook.project, user=cast.users["viewer"])

    page = get(cast, "/triggers/docker/webhooks/", "viewer")

    assert "pushes made meanwhile are not looked for later either" in page


def test_switching_it_off_and_on_begins_anew(webhook: DockerWebhook) -> None:
    begun = webhook.recover_since

    for recovery in (DockerWebhook.Recovery.OFF, DockerWebhook.Recovery.ON):
        webhook.recovery = recovery
        webhook.save()

    assert begun is not None
    assert webhook.recover_since is not None
    assert webhook.recover_since > begun
