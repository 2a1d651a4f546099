from __future__ import annotations

from datetime import timedelta
from html import unescape

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from codestream.accounts.models import ServiceRole
from codestream.core.clock import now
from codestream.core.redact import redact_headers
from executions.states import Status
from executions.worker import drain
from tests.factories import (
    DockerWebhookFactory,
    ExecutionFactory,
    RegistryEventFactory,
    UserFactory,
)
from tests.integration.cast import Cast, get, statuses
from webhooks.matching import Verdict
from webhooks.models import DockerWebhook, RefusedDelivery, RegistryEvent
from webhooks.services import count_refusal, receive_event

HTMX = {"HX-Request": "true"}
ACTIVITY = "/triggers/docker/activity/"


def test_who_reads_deliveries(cast: Cast, event: RegistryEvent) -> None:
    assert cast.answers("GET", ACTIVITY) == statuses(200, 200, 200, 200)
    assert cast.answers("GET", f"{ACTIVITY}{event.pk}/") == statuses(200, 200, 200, 404)


def test_who_lets_a_delivery_run_again(cast: Cast, event: RegistryEvent) -> None:
    url = f"{ACTIVITY}{event.pk}/rerun/"

    assert cast.answers("POST", url) == statuses(302, 302, 403, 404)
    assert cast.client("member").get(url).status_code == 405


def test_a_delivery_that_runs_again_leads_to_the_earlier_one(
    cast: Cast, event: RegistryEvent
) -> None:
    html = get(cast, f"{ACTIVITY}{event.pk}/")
    answer = cast.client("member").post(f"{ACTIVITY}{event.pk}/rerun/")

    assert f'action="{ACTIVITY}{event.pk}/rerun/"' in html
    assert f'href="{ACTIVITY}{event.pk}/"' in get(cast, answer.headers["Location"])


def test_what_cannot_run_again_is_not_offered(cast: Cast, event: RegistryEvent) -> None:
    assert "Re-run" not in get(cast, f"{ACTIVITY}{event.pk}/", "viewer")
    RegistryEvent.objects.update(image="")

    assert "Re-run" not in get(cast, f"{ACTIVITY}{event.pk}/")
    answer = cast.client("member").post(f"{ACTIVITY}{event.pk}/rerun/", follow=True)
    assert b"names no image" in answer.content


def test_a_duplicate_leads_to_the_first_delivery_and_its_execution(
    cast: Cast, event: RegistryEvent
) -> None:
    execution = ExecutionFactory.create(project=cast.project)
    first = RegistryEventFactory.create(webhook=event.webhook, execution=execution)
    RegistryEvent.objects.filter(pk=event.pk).update(verdict=Verdict.DUPLICATE, duplicate_of=first)

    html = get(cast, f"{ACTIVITY}{event.pk}/")

    assert f'href="{ACTIVITY}{first.pk}/"' in html
    assert f'href="/executions/{execution.pk}/"' in html


def test_the_activity_shows_a_delivery_with_its_execution(cast: Cast, event: RegistryEvent) -> None:
    execution = ExecutionFactory.create(project=cast.project, index=7)
    RegistryEvent.objects.update(verdict=Verdict.TRIGGERED, execution=execution)

    html = get(cast, ACTIVITY)

    assert f"/executions/{execution.pk}/" in html
    assert "<code>demo/web</code>" in html
    assert 'class="pill" data-status="triggered"' in html


@pytest.mark.parametrize(
    ("verdict", "status", "seconds"),
    [
        (Verdict.PENDING, None, 1),
        (Verdict.TRIGGERED, Status.RUNNING, 1),
        (Verdict.TRIGGERED, Status.COMPLETED, 2),
        (Verdict.IGNORED, None, 2),
    ],
)
def test_the_activity_asks_every_second_while_a_delivery_is_under_way(
    cast: Cast, event: RegistryEvent, verdict: Verdict, status: Status | None, seconds: int
) -> None:
    execution = ExecutionFactory.create(status=status) if status else None
    RegistryEvent.objects.update(verdict=verdict, execution=execution)

    assert f'hx-trigger="every {seconds}s"' in get(cast, ACTIVITY)


def test_an_activity_that_was_seen_is_not_sent_again(cast: Cast, event: RegistryEvent) -> None:
    client = cast.client("member")
    url = f"{ACTIVITY}?version={client.get(ACTIVITY).context['version']}"

    assert client.get(url, headers=HTMX).status_code == 204
    RegistryEventFactory.create(webhook=event.webhook, tag="2.0")
    html = client.get(url, headers=HTMX).content.decode()
    assert "<code>2.0</code>" in html
    assert "<input" not in html


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("q=web:1.2", True),
        ("q=absent", False),
        ("verdict=IGNORED", True),
        ("verdict=FAILED", False),
        ("webhook=x", True),
        ("image=demo", True),
        ("image=other", False),
        ("tag=1.2", True),
        ("tag=1.2&image=other", False),
        ("q=web&tag=2", True),
        ("since=2020-01-31", True),
        ("since=2999-01-31", False),
        ("until=2020-01-31", False),
        ("until=yesterday", True),
    ],
)
def test_the_activity_is_searched(
    cast: Cast, event: RegistryEvent, query: str, found: bool
) -> None:
    assert (f"{ACTIVITY}{event.pk}/" in get(cast, f"{ACTIVITY}?{query}")) is found


def test_deliveries_of_a_deleted_project_are_for_those_who_see_all(
    cast: Cast, event: RegistryEvent
) -> None:
    RegistryEvent.objects.update(project=None)
    viewer = Client()
    viewer.force_login(UserFactory.create(service_role=ServiceRole.VIEWER))
    url = f"{ACTIVITY}{event.pk}/"

    assert url in viewer.get(ACTIVITY).content.decode()
    assert viewer.get(url).status_code == 200
    assert url not in get(cast, ACTIVITY)
    assert cast.client("member").get(url).status_code == 404


def test_more_deliveries_ask_the_database_no_more_often(
    cast: Cast, webhook: DockerWebhook, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for execution in ExecutionFactory.create_batch(4):
        RegistryEventFactory.create(webhook=webhook, execution=execution)
    client = cast.client("member")

    with django_assert_num_queries(10):
        client.get(ACTIVITY)


def test_a_delivery_shows_how_it_was_judged(cast: Cast, event: RegistryEvent) -> None:
    step = {"name": "Tag", "outcome": "FAILED", "detail": "does not match ^1$"}
    RegistryEvent.objects.update(steps=[step])

    html = get(cast, f"{ACTIVITY}{event.pk}/")

    assert "does not match ^1$" in html
    assert '<ol class="steps">' in html
    assert "hx-trigger" not in html


def test_a_delivery_is_read_in_the_readers_language(cast: Cast, webhook: DockerWebhook) -> None:
    webhook.tag_pattern = "v.*"
    webhook.save()
    body = b'{"push_data": {"tag": "1.2"}, "repository": {"repo_name": "demo/web"}}'
    event = receive_event(webhook=webhook, body=body, headers={}, remote_addr=None)
    drain()

    page, listed = (
        unescape(get(cast, url, **{"Accept-Language": "it"}))
        for url in (f"{ACTIVITY}{event.pk}/", ACTIVITY)
    )

    refused = 'Il tag "1.2" non corrisponde a v.* (deve corrispondere l\'intero tag)'
    assert refused in page
    assert refused in listed
    for text in ("Token segreto", "Tipo di server", "Il webhook è abilitato."):
        assert text in page
    assert "does not match" in RegistryEvent.objects.get(pk=event.pk).message


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", "Il corpo non è in formato JSON (riga 1, colonna 2)."),
        (
            b'{"repository": {"repo_name": "demo/web"}, "push_data": {"tag": 7}}',
            '"tag" contiene un numero dove è previsto un testo.',
        ),
    ],
)
def test_what_cannot_be_read_is_told_in_the_readers_language(
    cast: Cast, webhook: DockerWebhook, body: bytes, words: str
) -> None:
    event = receive_event(webhook=webhook, body=body, headers={}, remote_addr=None)
    drain()

    html = unescape(get(cast, f"{ACTIVITY}{event.pk}/", **{"Accept-Language": "it"}))

    assert words in html


def test_what_a_stranger_sent_is_shown_as_text(cast: Cast, event: RegistryEvent) -> None:
    RegistryEvent.objects.update(body=b"<b>\xff", callback_url="https://evil.example/x")

    html = get(cast, f"{ACTIVITY}{event.pk}/")

    assert "&lt;b&gt;\ufffd" in html
    assert "https://evil.example/x" in html
    assert 'href="https://evil.example' not in html


def test_a_long_body_is_shown_in_part(cast: Cast, event: RegistryEvent) -> None:
    RegistryEvent.objects.update(body=b"a" * 70_000 + b"end")

    html = get(cast, f"{ACTIVITY}{event.pk}/")

    assert "the beginning is shown" in html
    assert "aend" not in html


def test_whoever_reads_of_a_delivery_cannot_send_one(cast: Cast, webhook: DockerWebhook) -> None:
    secret = webhook.secrets.get().secret
    headers = {"X-Own": secret, "X-Auth": "nobodys-business"}
    body = f'{{"push_data": {{"tag": "1"}}, "from": "https://x.test/?key={secret}"}}'
    event = receive_event(
        webhook=webhook, body=body.encode(), headers=redact_headers(headers), remote_addr=None
    )

    html = get(cast, f"{ACTIVITY}{event.pk}/", "viewer")

    assert "X-Own" in html
    assert "https://x.test/?key=********" in html
    assert not [word for word in (secret, "nobodys-business") if word in html]


def test_what_was_refused_is_told_with_the_step_that_decided(
    cast: Cast, webhook: DockerWebhook
) -> None:
    for _ in range(3):
        count_refusal(remote_addr="203.0.113.9", reason="wrong_token", webhook=webhook.pk)
    other = DockerWebhookFactory.create(name="other", project=cast.project)
    count_refusal(remote_addr="203.0.113.9", reason="wrong_token", webhook=other.pk)

    count_refusal(remote_addr="203.0.113.9", reason="too_large", webhook=webhook.pk)

    html = get(cast, ACTIVITY, "viewer")

    assert "larger than 1 MiB" in html
    assert "wrong secret token" in html
    assert "3 x from <code>203.0.113.9</code>" in html
    assert "203.0.113.9" not in get(cast, ACTIVITY, "outsider")
    assert "3 x" not in get(cast, f"{ACTIVITY}?webhook={other.pk}")
    assert "larger than 1 MiB" in get(cast, "/triggers/docker/webhooks/", "viewer")


def test_what_was_refused_long_ago_is_not_told(cast: Cast, webhook: DockerWebhook) -> None:
    count_refusal(remote_addr="203.0.113.9", reason="wrong_token", webhook=webhook.pk)
    RefusedDelivery.objects.update(created_at=now() - timedelta(days=2))

    assert "203.0.113.9" not in get(cast, ACTIVITY)


@pytest.mark.parametrize("asked", ["until=9999-12-31", "since=0001-01-01", "since=yesterday"])
def test_a_day_that_means_nothing_filters_nothing(
    cast: Cast, event: RegistryEvent, asked: str
) -> None:
    with timezone.override("Pacific/Kiritimati"):
        assert f"{ACTIVITY}{event.pk}/" in get(cast, f"{ACTIVITY}?{asked}")
