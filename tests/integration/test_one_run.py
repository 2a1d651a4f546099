"""One run for one push: folded, pinned, run again by hand, stopped where it goes in a circle."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from pytest_django.fixtures import Settings

from codestream.core.clock import now
from codestream.core.errors import Refused
from codestream.sandbox.dockerhub import DockerHubServer
from codestream.sandbox.dockerhub_failures import Mode
from executions.models import Execution
from executions.worker import drain
from pipelines.models import Pipeline
from tests.contracts.dockerhub.test_registry import REFUSALS
from tests.factories import (
    PIPELINE_SOURCE,
    DockerRegistryFactory,
    DockerWebhookFactory,
    PipelineFactory,
    ProjectFactory,
    UserFactory,
)
from webhooks import digests
from webhooks.judging import MOST_RUNS
from webhooks.models import DockerWebhook, Push, RegistryEvent
from webhooks.readers import reader_for
from webhooks.registries.base import ImagePushed
from webhooks.services import receive_event, rerun_event, set_enabled

pytestmark = pytest.mark.django_db
PINNED = PIPELINE_SOURCE.replace(
    "input:\n", "input:\n  DOCKER_DIGEST: ''\n  DOCKER_IMAGE_REFERENCE: ''\n", 1
)


def deliver(webhook: DockerWebhook, tag: str = "1.2.3", **push_data: object) -> RegistryEvent:
    """Judge one delivery of a tag."""
    body = payload(tag, **push_data)
    return judged(receive_event(webhook=webhook, body=body, headers={}, remote_addr="127.0.0.1"))


def payload(tag: str, **push_data: object) -> bytes:
    body = {
        "push_data": {"pusher": "ann", "tag": tag, **push_data},
        "repository": {"repo_name": "demo/web", "name": "web", "namespace": "demo"},
    }
    return json.dumps(body).encode()


def judged(event: RegistryEvent) -> RegistryEvent:
    drain()
    event.refresh_from_db()
    return event


def later(event: RegistryEvent, **span: float) -> None:
    """Let the delivery have come earlier."""
    RegistryEvent.objects.filter(pk=event.pk).update(
        created_at=event.created_at - timedelta(**span)
    )


def step(event: RegistryEvent, name: str) -> dict[str, str]:
    return next(each for each in event.steps if each["name"] == name)


@pytest.fixture
def hub(settings: Settings) -> Iterator[DockerHubServer]:
    with DockerHubServer(username="demo", password="hub-password") as server:
        settings.OUTGOING_ALLOW = [urlsplit(server.url).netloc]
        settings.DOCKER_HUB_URL = server.url
        digests.forget()
        yield server


@pytest.fixture
def pinned(hub: DockerHubServer) -> DockerWebhook:
    """A webhook that pins, and whose pipeline takes the digest."""
    project = ProjectFactory.create()
    pipeline = PipelineFactory.create(
        project=project, name="pinned", source=PINNED.format(name="p")
    )
    endpoint = DockerRegistryFactory.create(
        project=project, credentials={"username": "demo", "password": "hub-password"}
    )
    return DockerWebhookFactory.create(
        project=project, pipeline=pipeline, endpoint=endpoint, pin_digest=True
    )


def test_deliveries_of_one_tag_within_the_window_are_one_push() -> None:
    webhook = DockerWebhookFactory.create()

    first, second, third = (deliver(webhook) for _ in range(3))

    assert [each.verdict for each in (first, second, third)] == [
        "TRIGGERED",
        "DUPLICATE",
        "DUPLICATE",
    ]
    assert second.duplicate_of == third.duplicate_of == first
    assert "within 10 s" in second.message
    assert Execution.objects.count() == Push.objects.count() == 1


def test_another_tag_is_another_push() -> None:
    webhook = DockerWebhookFactory.create()

    assert [deliver(webhook, tag).verdict for tag in ("1", "2", "1")] == [
        "TRIGGERED",
        "TRIGGERED",
        "DUPLICATE",
    ]


def test_the_same_tag_after_the_window_is_another_push() -> None:
    webhook = DockerWebhookFactory.create()
    later(deliver(webhook), seconds=10)

    assert deliver(webhook).verdict == "TRIGGERED"
    assert list(Push.objects.values_list("sequence", "is_current")) == [(1, False), (2, True)]


def test_the_same_notification_again_is_the_same_push_after_the_window_too() -> None:
    webhook = DockerWebhookFactory.create()
    later(deliver(webhook, pushed_at=1_770_000_000), hours=1)

    assert deliver(webhook, pushed_at=1_770_000_000).verdict == "DUPLICATE"
    assert deliver(webhook, pushed_at=1_770_000_001).verdict == "TRIGGERED"


def test_what_did_not_start_is_no_push_to_fold_into() -> None:
    webhook = DockerWebhookFactory.create()
    Pipeline.objects.update(state=Pipeline.State.DISABLED)
    assert deliver(webhook).verdict == "FAILED"
    Pipeline.objects.update(state=Pipeline.State.ENABLED)

    assert deliver(webhook).verdict == "TRIGGERED"
    assert Push.objects.count() == 1


def test_a_run_is_pinned_to_the_digest_of_its_push(
    hub: DockerHubServer, pinned: DockerWebhook
) -> None:
    hub.push("demo/web", "1.2.3")
    digest = hub.store.repositories["demo/web"].tags["1.2.3"].digest

    event = deliver(pinned)

    inputs = Execution.objects.get().inputs
    assert event.digest == inputs["DOCKER_DIGEST"] == digest
    assert inputs["DOCKER_IMAGE_REFERENCE"] == f"demo/web@{digest}"
    assert step(event, "Digest")["outcome"] == "PASSED"


def test_the_digest_tells_pushes_of_one_tag_apart(
    hub: DockerHubServer, pinned: DockerWebhook
) -> None:
    hub.push("demo/web", "latest")
    first, again = deliver(pinned, "latest"), deliver(pinned, "latest")
    hub.push("demo/web", "latest")
    second = deliver(pinned, "latest")

    assert [each.verdict for each in (first, again, second)] == [
        "TRIGGERED",
        "DUPLICATE",
        "TRIGGERED",
    ]


def test_an_older_digest_that_comes_back_is_a_new_push(
    hub: DockerHubServer, pinned: DockerWebhook
) -> None:
    tags = hub.store.add_repository("demo", "web").tags
    hub.push("demo/web", "old")
    hub.push("demo/web", "new")
    verdicts = []
    for name in ("old", "new", "old"):
        tags["latest"] = tags[name]
        verdicts.append(deliver(pinned, "latest").verdict)

    assert verdicts == ["TRIGGERED"] * 3


@pytest.mark.parametrize("mode", REFUSALS)
def test_a_registry_that_refuses_does_not_hold_up_the_run(
    hub: DockerHubServer, pinned: DockerWebhook, mode: Mode
) -> None:
    hub.push("demo/web", "1.2.3")
    hub.failures.fail("manifest", mode, times=9)

    event = deliver(pinned)

    assert event.verdict == "TRIGGERED"
    assert step(event, "Digest")["outcome"] == "SKIPPED"
    assert Execution.objects.get().inputs["DOCKER_IMAGE_REFERENCE"] == "demo/web:1.2.3"


def test_a_registry_that_is_silent_is_left_alone_for_a_while(
    hub: DockerHubServer, pinned: DockerWebhook
) -> None:
    hub.push("demo/web", "1.2.3")
    hub.failures.fail("manifest", Mode.RESET)
    deliver(pinned, "1")

    assert "a moment ago" in step(deliver(pinned, "1.2.3"), "Digest")["detail"]
    digests.forget()
    assert step(deliver(pinned, "1.2.3"), "Digest")["outcome"] == "PASSED"


def test_one_answer_serves_all_deliveries_that_came_before_the_question(
    hub: DockerHubServer, pinned: DockerWebhook
) -> None:
    hub.push("demo/web", "1.2.3")
    push = reader_for("dockerhub").parse(payload("1.2.3"), {})[0]
    assert isinstance(push, ImagePushed)
    early, late = now() - timedelta(minutes=1), now() + timedelta(minutes=1)
    first = digests.find_digest(pinned, push, received_at=early)
    hub.push("demo/web", "1.2.3")

    assert digests.find_digest(pinned, push, received_at=early) == first
    assert digests.find_digest(pinned, push, received_at=late).digest != first.digest


def test_a_delivery_can_run_again(hub: DockerHubServer, pinned: DockerWebhook) -> None:
    hub.push("demo/web", "1.2.3")
    event = deliver(pinned)
    hub.push("demo/web", "1.2.3")

    again = judged(rerun_event(event=event, by=UserFactory.create(username="ann")))

    assert (again.verdict, again.source, again.rerun_by) == ("TRIGGERED", "RERUN", "ann")
    assert (again.rerun_of, again.push) == (event, event.push)
    assert again.execution is not None
    assert again.execution.rerun_of == event.execution
    assert again.execution.inputs["DOCKER_DIGEST"] == event.digest


def test_an_ignored_delivery_can_run_when_the_webhook_is_mended() -> None:
    webhook = DockerWebhookFactory.create(enabled=False)
    event = deliver(webhook)
    set_enabled(webhook=webhook, enabled=True, by=UserFactory.create())

    assert judged(rerun_event(event=event, by=UserFactory.create())).verdict == "TRIGGERED"


def test_what_names_no_image_cannot_run_again() -> None:
    webhook = DockerWebhookFactory.create()
    event = judged(receive_event(webhook=webhook, body=b"{}", headers={}, remote_addr=None))

    with pytest.raises(Refused):
        rerun_event(event=event, by=UserFactory.create())


def test_a_webhook_that_runs_in_a_circle_is_stopped_and_says_so() -> None:
    webhook = DockerWebhookFactory.create(settle_seconds=0)

    verdicts = [deliver(webhook).verdict for _ in range(MOST_RUNS + 2)]

    assert verdicts == ["TRIGGERED"] * MOST_RUNS + ["IGNORED"] * 2
    webhook.refresh_from_db()
    assert not webhook.enabled
    assert "runs in a minute" in str(webhook.stopped_because)
    set_enabled(webhook=webhook, enabled=True, by=UserFactory.create())
    assert not webhook.stopped_because


def test_who_enables_the_webhook_after_a_loop_need_not_wait() -> None:
    webhook = DockerWebhookFactory.create(settle_seconds=0)
    for _ in range(MOST_RUNS + 1):
        deliver(webhook)
    webhook.refresh_from_db()
    assert not webhook.enabled

    set_enabled(webhook=webhook, enabled=True, by=UserFactory.create())

    verdicts = [deliver(webhook).verdict for _ in range(MOST_RUNS + 1)]
    assert verdicts == ["TRIGGERED"] * MOST_RUNS + ["IGNORED"]


def test_many_tags_at_once_are_no_circle() -> None:
    webhook = DockerWebhookFactory.create()

    verdicts = {deliver(webhook, str(number)).verdict for number in range(MOST_RUNS + 2)}

    assert verdicts == {"TRIGGERED"}


def test_the_time_of_a_delivery_counts_and_not_that_of_its_judgement() -> None:
    webhook = DockerWebhookFactory.create()
    deliver(webhook)
    RegistryEvent.objects.update(created_at=now() - timedelta(minutes=5))

    assert deliver(webhook).verdict == "TRIGGERED"
