"""From a stored delivery to a verdict with its steps, and to one execution when it passes."""

from __future__ import annotations

import json
import uuid
from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.utils.translation import override

from codestream.accounts.models import ApiToken
from codestream.accounts.services import issue_token, revoke_token
from codestream.core import work
from codestream.core.clock import now
from codestream.core.templatetags.look import said
from codestream.core.work import Claim, kind_named
from codestream.projects.models import Membership
from executions.models import Execution
from executions.worker import drain
from executions.workers import living_workers
from pipelines.models import Pipeline
from tests.factories import (
    DockerWebhookFactory,
    MembershipFactory,
    PipelineFactory,
    RegistryEventFactory,
    UserFactory,
    VariableFactory,
)
from webhooks import judging, starting
from webhooks.judging import fail_event, first_in_line, judge_event
from webhooks.matching import Verdict
from webhooks.models import DockerWebhook, Push, RegistryEvent
from webhooks.services import receive_event, save_webhook, set_enabled

pytestmark = pytest.mark.django_db


def push(webhook: DockerWebhook, *, image: str = "demo/web", tag: str = "1.2.3") -> RegistryEvent:
    event = receive_event(
        webhook=webhook, body=body_of(image, tag), headers={}, remote_addr="127.0.0.1"
    )
    drain()
    event.refresh_from_db()
    return event


def body_of(image: str, tag: str) -> bytes:
    namespace, _, name = image.partition("/")
    body = {
        "push_data": {"pusher": "ann", "tag": tag},
        "repository": {"repo_name": image, "name": name, "namespace": namespace},
    }
    return json.dumps(body).encode()


@pytest.mark.parametrize("refused", ["\x00", "\ud800"])
@pytest.mark.parametrize("field", ["pusher", "tag", "repo_name"])
def test_a_push_with_what_no_database_takes_is_judged(field: str, refused: str) -> None:
    webhook = DockerWebhookFactory()
    body = json.loads(body_of("demo/web", "1.2.3"))
    part = body["repository" if field == "repo_name" else "push_data"]
    part[field] += refused

    event = receive_event(
        webhook=webhook, body=json.dumps(body).encode(), headers={}, remote_addr="127.0.0.1"
    )
    drain()

    event.refresh_from_db()
    assert event.verdict in {Verdict.TRIGGERED, Verdict.REJECTED}
    assert event.reason_code != "internal"


def test_a_push_that_passes_starts_the_pipeline_with_its_parameters() -> None:
    webhook = DockerWebhookFactory(inputs={"replicas": "3"})

    event = push(webhook)

    execution = Execution.objects.get()
    assert (event.verdict, event.execution) == ("TRIGGERED", execution)
    assert execution.inputs == {
        "DOCKER_IMAGE": "demo/web",
        "DOCKER_TAG": "1.2.3",
        "replicas": "3",
    }
    assert execution.run_as == ApiToken.objects.get().owner
    assert [step["name"] for step in event.steps] == [
        "Secret token",
        "Enabled",
        "Server type",
        "Endpoint",
        "Image",
        "Tag",
        "Digest",
        "Duplicate",
        "Own push",
        "API token",
        "Pipeline",
        "Inputs",
        "Execution",
    ]


@pytest.mark.parametrize(
    ("changes", "delivery", "verdict", "reason"),
    [
        ({"enabled": False}, {}, "IGNORED", "disabled"),
        ({}, {"image": "other/web"}, "REJECTED", "other_repository"),
        ({"image_pattern": "demo/api"}, {}, "IGNORED", "image_pattern"),
        ({"tag_pattern": r"\d+"}, {}, "IGNORED", "tag_pattern"),
        ({"tag_pattern": "(a|aa)+b"}, {"tag": "a" * 60}, "FAILED", "pattern_timeout"),
    ],
)
def test_a_push_that_does_not_pass_starts_nothing_and_says_why(
    changes: dict[str, object], delivery: dict[str, str], verdict: str, reason: str
) -> None:
    event = push(DockerWebhookFactory(**changes), **delivery)

    assert (event.verdict, event.reason_code) == (verdict, reason)
    assert event.message
    assert Execution.objects.count() == 0


def test_an_expired_token_gives_the_message_of_the_manual() -> None:
    webhook = DockerWebhookFactory()
    ApiToken.objects.update(expires_at=now() - timedelta(days=1))

    event = push(webhook)

    assert event.verdict == "FAILED"
    assert event.message == "Invalid Oauth Refresh token. Verify webhook configuration."


def test_a_revoked_token_starts_nothing() -> None:
    webhook = DockerWebhookFactory()
    revoke_token(token=ApiToken.objects.get())

    assert push(webhook).reason_code == "token"


def test_the_owner_of_the_token_has_to_be_allowed_to_run_here() -> None:
    webhook = DockerWebhookFactory()
    Membership.objects.update(role=Membership.Role.VIEWER)

    event = push(webhook)

    assert (event.verdict, event.reason_code) == ("FAILED", "identity")


def test_a_token_can_be_kept_in_a_variable() -> None:
    webhook = DockerWebhookFactory()
    owner = UserFactory()
    MembershipFactory(project=webhook.project, user=owner)
    _, text = issue_token(owner=owner, name="kept")
    VariableFactory(project=webhook.project, name="trigger", type="SECRET", value=text)
    webhook.api_token = "${var.trigger}"
    save_webhook(webhook, by=owner)

    assert push(webhook).verdict == "TRIGGERED"
    assert Execution.objects.get().run_as == owner


def test_a_disabled_pipeline_is_the_reason() -> None:
    webhook = DockerWebhookFactory()
    Pipeline.objects.update(state=Pipeline.State.DISABLED)

    event = push(webhook)

    assert event.verdict == "FAILED"
    assert "disabled" in event.message
    with override("it"):
        assert said(event.words) == f"La pipeline {webhook.pipeline.name} è disabilitata."


def test_pushing_the_same_tag_again_is_another_push() -> None:
    webhook = DockerWebhookFactory(settle_seconds=0)

    push(webhook)
    push(webhook)

    assert list(Push.objects.values_list("sequence", "is_current")) == [(1, False), (2, True)]
    assert Execution.objects.count() == 2


def test_the_first_of_a_line_is_known_from_any_of_it() -> None:
    judged, first, last = (RegistryEventFactory() for _ in range(3))
    RegistryEvent.objects.exclude(pk=judged.pk).update(verdict=Verdict.PENDING)
    RegistryEvent.objects.update(webhook=judged.webhook)
    elsewhere = RegistryEventFactory(verdict=Verdict.PENDING)

    lines = [first_in_line(each.pk) for each in (judged, first, last, elsewhere)]

    assert lines == [first.pk, first.pk, first.pk, elsewhere.pk]
    assert first_in_line(uuid.uuid4()) is None


def test_a_judged_delivery_is_not_judged_again() -> None:
    event = push(DockerWebhookFactory())
    RegistryEvent.objects.update(wake_at=now())

    drain()

    assert Execution.objects.count() == 1
    event.refresh_from_db()
    assert event.verdict == "TRIGGERED"


def test_a_webhook_switched_on_again_triggers_again() -> None:
    webhook = DockerWebhookFactory(enabled=False)
    assert push(webhook).verdict == "IGNORED"

    set_enabled(webhook=webhook, enabled=True, by=UserFactory())

    assert push(webhook).verdict == "TRIGGERED"


@pytest.mark.parametrize("name", ["image_pattern", "tag_pattern"])
def test_the_administration_refuses_a_pattern_that_is_none(name: str) -> None:
    webhook = DockerWebhookFactory()
    setattr(webhook, name, "(1.2")

    with pytest.raises(ValidationError) as refused:
        webhook.full_clean()

    assert name in refused.value.message_dict


def test_the_administration_refuses_a_pipeline_of_another_project() -> None:
    webhook = DockerWebhookFactory()
    webhook.pipeline = PipelineFactory()

    with pytest.raises(ValidationError) as refused:
        webhook.full_clean()

    assert "pipeline" in refused.value.message_dict


def claimed(webhook: DockerWebhook) -> Claim:
    event = receive_event(
        webhook=webhook, body=body_of("demo/web", "1.2.3"), headers={}, remote_addr=None
    )
    kind = kind_named("event")
    assert kind is not None
    taken = work.claim(kind, event.pk, owner=uuid.uuid4(), alive=living_workers)
    assert taken is not None
    return taken


@pytest.mark.django_db(transaction=True)
def test_a_fault_after_the_start_of_its_execution_ends_the_delivery_without_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_args: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(starting, "make_current", fail)
    claim = claimed(DockerWebhookFactory())

    with pytest.raises(ZeroDivisionError):
        judge_event(claim)
    fail_event(claim, "A fault of ours.")

    event = RegistryEvent.objects.get()
    assert (event.verdict, event.reason_code, event.tag) == ("FAILED", "internal", "1.2.3")
    assert (event.execution, event.push) == (None, None)
    assert not Execution.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_what_fails_after_the_commit_takes_no_verdict_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_event: RegistryEvent) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(judging, "_note_the_verdict", fail)

    judge_event(claimed(DockerWebhookFactory()))

    assert RegistryEvent.objects.get().execution == Execution.objects.get()


@pytest.mark.django_db(transaction=True)
def test_a_delivery_whose_webhook_is_deleted_under_its_judgement_says_so() -> None:
    webhook = DockerWebhookFactory()
    claim = claimed(webhook)
    webhook.delete()

    judge_event(claim)

    event = RegistryEvent.objects.get()
    assert (event.verdict, event.reason_code, event.tag) == ("REJECTED", "no_webhook", "1.2.3")
    assert not Execution.objects.exists()
