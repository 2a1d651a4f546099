"""What load balancers, Prometheus and the log are told."""

from __future__ import annotations

import logging
import threading
import uuid
from datetime import datetime, timedelta
from pathlib import Path
from unittest.mock import Mock, patch

import pytest
from django.db import OperationalError, connection
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries
from pytest_django.fixtures import Settings

from codestream.core import work
from codestream.core.clock import now
from codestream.core.metrics import EVENTS
from codestream.operations import health
from executions.models import Execution, Worker
from executions.states import Status
from tests.factories import (
    ExecutionFactory,
    RegistryEventFactory,
)
from tests.integration.cast import ROLES, Cast
from webhooks.matching import Verdict
from webhooks.models import DockerWebhook, RemoteHook

pytestmark = pytest.mark.django_db


@pytest.fixture
def scrape(settings: Settings) -> Client:
    settings.METRICS_TOKEN = "scrape-me"
    return Client(headers={"Authorization": "Bearer scrape-me"})


def worker(*, heartbeat_at: datetime | None = None) -> Worker:
    return Worker.objects.create(
        pk=uuid.uuid4(),
        host="build-1",
        pid=42,
        threads=8,
        release="0.1.0",
        heartbeat_at=heartbeat_at or now(),
    )


@pytest.mark.parametrize("name", ["operations:alive", "operations:ready"])
def test_everybody_may_ask_for_health(cast: Cast, name: str) -> None:
    assert cast.answers("GET", reverse(name)) == dict.fromkeys(ROLES, 200)


def test_nobody_scrapes_without_the_token_whatever_the_role(cast: Cast) -> None:
    assert cast.answers("GET", reverse("operations:metrics")) == dict.fromkeys(ROLES, 401)


def test_a_database_file_that_was_moved_away_is_no_place_for_pushes(tmp_path: Path) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("only SQLite is a file")
    file = tmp_path / "codestream.sqlite3"
    with file.open("w"), patch.dict(connection.settings_dict, NAME=str(file)):
        in_place = health.readiness().problems
        file.rename(tmp_path / "elsewhere.sqlite3")
        moved = health.readiness().problems

    assert in_place == {}
    assert "moved" in moved["database"]


def test_a_server_that_takes_the_question_and_is_silent_keeps_nobody_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(health, "SLOW_SECONDS", 0.01)
    answering = threading.Event()
    fine = health.Readiness(problems={}, workers=1)

    def look() -> health.Readiness:
        answering.wait(30)
        return fine

    silent = [health.in_time(look) for _ in range(9)]
    answering.set()
    monkeypatch.setattr(health, "SLOW_SECONDS", 30)

    assert all("does not answer" in each.problems["database"] for each in silent)
    assert health.in_time(look) == fine


def test_a_process_that_lives_asks_no_database(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    with django_assert_num_queries(0):
        answer = Client().get("/healthz")

    assert answer.content == b"ok"


def test_probes_call_a_machine_by_its_address(settings: Settings) -> None:
    settings.ALLOWED_HOSTS = ["cd.example.com"]

    client = Client(headers={"Host": "10.0.0.7"})

    assert client.get("/healthz").status_code == 200
    assert client.get("/account/sign-in/").status_code == 400


def test_probes_only_read() -> None:
    assert Client().post("/healthz").status_code == 405


def test_a_server_without_a_worker_is_ready_and_says_so() -> None:
    answer = Client().get("/readyz")

    assert answer.status_code == 200
    assert answer.json() == {"status": "ready", "problems": {}, "workers": 0}


def test_a_database_that_fails_is_named_without_its_words(monkeypatch: pytest.MonkeyPatch) -> None:
    failing = Mock(side_effect=OperationalError("password of db.internal is wrong"))
    monkeypatch.setattr(health, "_database_problem", failing)

    answer = Client().get("/readyz")

    assert answer.status_code == 503
    assert answer.json()["problems"] == {"database": "it does not answer (OperationalError)"}


def test_migrations_that_are_missing_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_seen", set())
    monkeypatch.setattr(health, "open_migrations", lambda: ["webhooks.0009"])

    answer = Client().get("/readyz")

    assert answer.json()["problems"] == {"migrations": "1 to be applied: run manage.py migrate"}


def test_keys_that_do_not_open_what_is_stored_are_named(
    webhook: DockerWebhook, settings: Settings
) -> None:
    settings.ENCRYPTION_KEYS = ["MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="]

    answer = Client().get("/readyz")

    assert answer.status_code == 503
    assert "ENCRYPTION_KEYS" in answer.json()["problems"]["keys"]


@pytest.mark.parametrize("header", ["", "Bearer wrong", "Basic scrape-me", "Bearer"])
def test_a_wrong_token_gets_no_metrics(settings: Settings, header: str) -> None:
    settings.METRICS_TOKEN = "scrape-me"

    answer = Client().get("/metrics", headers={"Authorization": header})

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_metrics_hold_what_processes_counted_and_how_things_stand(scrape: Client) -> None:
    EVENTS.labels(Verdict.TRIGGERED).inc()
    ExecutionFactory.create(status=Status.RUNNING)
    queued = ExecutionFactory.create(status=Status.QUEUED)
    Execution.objects.filter(pk=queued.pk).update(created_at=now() - timedelta(seconds=125))
    worker()
    worker(heartbeat_at=now() - timedelta(minutes=1))
    RegistryEventFactory.create(
        verdict=Verdict.PENDING, wake_at=now() - timedelta(seconds=90), webhook__name="late"
    )

    text = scrape.get("/metrics").content.decode()

    assert 'codestream_events_judged_total{verdict="TRIGGERED"}' in text
    assert 'codestream_executions{status="RUNNING"} 1.0' in text
    assert 'codestream_executions{status="WAITING"} 0.0' in text
    assert 'codestream_workers{state="alive"} 1.0' in text
    assert 'codestream_workers{state="lost"} 1.0' in text
    assert 'codestream_due_rows{kind="event"} 1.0' in text
    assert 'codestream_oldest_due_seconds{kind="event"} 9' in text
    assert 'codestream_oldest_due_seconds{kind="task"} 0.0' in text
    assert "codestream_oldest_queued_seconds 12" in text
    assert "codestream_database_up 1.0" in text


def test_metrics_tell_of_what_waits_behind_a_delivery_that_is_being_judged(scrape: Client) -> None:
    first = RegistryEventFactory.create(
        verdict=Verdict.PENDING,
        lease_owner=worker().pk,
        lease_until=now() + timedelta(minutes=1),
        wake_at=now() - timedelta(seconds=95),
    )
    RegistryEventFactory.create(
        verdict=Verdict.PENDING,
        webhook=first.webhook,
        wake_at=now() - timedelta(seconds=90),
    )

    text = scrape.get("/metrics").content.decode()

    assert 'codestream_due_rows{kind="event"} 1.0' in text
    assert 'codestream_oldest_due_seconds{kind="event"} 9' in text


def test_metrics_tell_how_the_hooks_in_docker_hub_stand(
    scrape: Client, webhook: DockerWebhook
) -> None:
    RemoteHook.objects.update(error_code="unauthorized")

    text = scrape.get("/metrics").content.decode()

    assert 'codestream_hooks{state="failed"} 1.0' in text
    assert 'codestream_hooks{state="in_sync"} 0.0' in text


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({"actual": "PRESENT"}, "in_sync"),
        ({"actual": "PRESENT", "drift": "DOUBLED"}, "drifted"),
        ({"kept_by": "MANUAL"}, "by_hand"),
        ({}, "pending"),
    ],
)
def test_each_hook_is_counted_in_one_state(
    scrape: Client, webhook: DockerWebhook, changes: dict[str, str], state: str
) -> None:
    RemoteHook.objects.update(error_code="", **changes)

    text = scrape.get("/metrics").content.decode()

    counted = [line for line in text.splitlines() if line.startswith("codestream_hooks{")]
    assert [line for line in counted if line.endswith(" 1.0")] == [
        f'codestream_hooks{{state="{state}"}} 1.0'
    ]


def test_requests_are_counted_by_the_name_of_their_view(scrape: Client) -> None:
    Client().get("/account/sign-in/")
    Client().get(f"/no/such/page/{uuid.uuid4()}")

    text = scrape.get("/metrics").content.decode()

    name = "codestream_http_request_seconds_count"
    assert f'{name}{{method="GET",status="2xx",view="accounts:sign-in"}}' in text
    assert f'{name}{{method="GET",status="4xx",view="none"}}' in text
    assert "/no/such/page" not in text


def test_a_scrape_asks_a_fixed_number_of_questions(
    scrape: Client, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_num_queries(5 + 2 * len(work.registered())):
        scrape.get("/metrics")


def test_an_answer_carries_the_id_of_its_request() -> None:
    given = Client().get("/healthz", headers={"X-Request-ID": "trace-12345678"})
    refused = Client().get("/healthz", headers={"X-Request-ID": "no good\tid"})

    assert given.headers["X-Request-ID"] == "trace-12345678"
    assert len(refused.headers["X-Request-ID"]) == 32


def test_a_delivery_is_logged_by_its_id_and_without_its_token(
    webhook: DockerWebhook, caplog: pytest.LogCaptureFixture
) -> None:
    secret = webhook.secrets.get().secret

    with caplog.at_level(logging.INFO):
        answer = Client().post(
            f"{webhook.listener_path}?secureToken={secret}", "{}", content_type="application/json"
        )

    assert answer.status_code == 200
    assert "A delivery for release from 127.0.0.1 is written down." in caplog.messages
    assert secret not in caplog.text
