"""What the people who run Codestream ask it: health, metrics, workers, and what is kept."""

from __future__ import annotations

import logging
import uuid
from datetime import datetime, timedelta
from io import StringIO
from unittest.mock import Mock

import pytest
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.db import OperationalError
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries
from pytest_django.fixtures import Settings

from codestream.core import work
from codestream.core.clock import now
from codestream.core.metrics import EVENTS
from codestream.core.work import kind_named
from codestream.operations import chores, health, retention
from codestream.operations.chores import Outcome, PeriodicWork, ensure_chores
from codestream.operations.models import Chore
from executions.models import Execution, TaskRun, Worker
from executions.states import Status
from executions.worker import drain
from tests.factories import (
    ExecutionFactory,
    PipelineFactory,
    RegistryEventFactory,
    UserFactory,
)
from tests.integration.cast import ROLES, Cast
from webhooks.matching import Verdict
from webhooks.models import DockerWebhook, RefusedDelivery, RegistryEvent, RemoteHook

pytestmark = pytest.mark.django_db
LONG_AGO = timedelta(days=400)


@pytest.fixture
def settings_of_retention(settings: Settings) -> Settings:
    settings.RETENTION_EVENTS_DAYS = 30
    settings.RETENTION_EXECUTIONS_DAYS = 30
    settings.RETENTION_EXECUTIONS_PER_PIPELINE = 0
    return settings


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


def aged(execution: Execution, age: timedelta = LONG_AGO) -> Execution:
    finished = now() - age if execution.is_over else None
    rows = Execution.objects.filter(pk=execution.pk)
    rows.update(created_at=now() - age, finished_at=finished)
    return execution


def old_event(**fields: object) -> RegistryEvent:
    event: RegistryEvent = RegistryEventFactory.create(**fields)
    RegistryEvent.objects.filter(pk=event.pk).update(created_at=now() - LONG_AGO)
    return event


def clean() -> dict[str, int]:
    return retention.clean(lambda: False)[0]


@pytest.mark.parametrize("name", ["operations:alive", "operations:ready"])
def test_everybody_may_ask_for_health(cast: Cast, name: str) -> None:
    assert cast.answers("GET", reverse(name)) == dict.fromkeys(ROLES, 200)


def test_nobody_scrapes_without_the_token_whatever_the_role(cast: Cast) -> None:
    assert cast.answers("GET", reverse("operations:metrics")) == dict.fromkeys(ROLES, 401)


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
    assert "codestream_database_up 1.0" in text


def test_metrics_tell_how_the_hooks_in_docker_hub_stand(
    scrape: Client, webhook: DockerWebhook
) -> None:
    RemoteHook.objects.update(error_code="unauthorized")

    text = scrape.get("/metrics").content.decode()

    assert 'codestream_hooks{state="failed"} 1.0' in text
    assert 'codestream_hooks{state="in_sync"} 0.0' in text


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
    with django_assert_num_queries(4 + 2 * len(work.registered())):
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


def admin_page(url: str) -> str:
    client = Client()
    client.force_login(UserFactory.create(is_staff=True, is_superuser=True))
    return client.get(url).content.decode()


def test_the_workers_page_shows_who_lives_and_who_is_lost() -> None:
    worker()
    worker(heartbeat_at=now() - timedelta(minutes=5))

    text = admin_page(reverse("admin:executions_worker_changelist"))

    assert text.count("build-1:42") == 2
    assert text.count(">Alive<") == text.count(">Lost<") == 1
    assert "5 min 0 s ago" in text


def test_a_worker_shows_what_it_holds_and_since_when() -> None:
    mine = worker()
    task = TaskRun.objects.get(stage_run__execution=ExecutionFactory.create())
    TaskRun.objects.filter(pk=task.pk).update(
        lease_owner=mine.pk, leased_at=now() - timedelta(seconds=12), wake_at=now()
    )

    text = admin_page(reverse("admin:executions_worker_change", args=[mine.pk]))

    place = reverse("admin:executions_taskrun_change", args=[task.pk])
    assert f'task <a href="{place}">Apply</a>, 12 s<br>' in text
    assert 'name="_save"' not in text


def test_workers_are_for_the_administration_only(cast: Cast) -> None:
    url = reverse("admin:executions_worker_changelist")

    assert cast.answers("GET", url) == dict.fromkeys(ROLES, 302)
    assert "executions/worker/add" not in admin_page(reverse("admin:index"))


def test_chores_are_made_once_and_are_not_due_at_a_start() -> None:
    Chore.objects.all().delete()

    ensure_chores(using="default")
    ensure_chores(using="default")

    assert sorted(Chore.objects.values_list("name", flat=True)) == ["logs", "retention"]
    assert not Chore.objects.filter(wake_at__lte=now()).exists()


@pytest.fixture
def sweeping(monkeypatch: pytest.MonkeyPatch) -> list[Outcome]:
    """The only chore, due now; each piece comes to the next of these outcomes."""
    outcomes: list[Outcome] = []
    sweep = PeriodicWork(
        name="sweep", every=timedelta(hours=1), run=lambda _out_of_time: outcomes.pop(0)
    )
    monkeypatch.setattr(chores, "_known", {"sweep": sweep})
    Chore.objects.all().delete()
    Chore.objects.create(name="sweep", wake_at=now())
    return outcomes


def test_a_chore_that_has_more_to_do_comes_back_at_once(sweeping: list[Outcome]) -> None:
    sweeping += [Outcome(message="half", more=True), Outcome(message="all")]

    drain()

    chore = Chore.objects.get()
    assert (sweeping, chore.message, chore.lease_owner) == ([], "all", None)
    assert chore.wake_at is not None
    assert chore.wake_at > now() + timedelta(minutes=59)


def test_a_chore_that_failed_says_so_and_is_tried_again(sweeping: list[Outcome]) -> None:
    kind = kind_named("chore")
    assert kind is not None
    nobody = Worker.objects.none().values("pk")
    taken = work.claim(kind, Chore.objects.get().pk, owner=uuid.uuid4(), alive=nobody)
    assert taken is not None

    kind.fail(taken, "Internal error (KeyError).")

    chore = Chore.objects.get()
    assert (chore.message, chore.failures) == ("Internal error (KeyError).", 1)
    assert chore.wake_at is not None
    assert chore.wake_at > now()


def test_a_chore_of_a_newer_release_is_left_to_its_workers(sweeping: list[Outcome]) -> None:
    Chore.objects.update(name="from tomorrow")

    drain()

    assert Chore.objects.filter(wake_at__gt=now(), last_run_at=None).exists()


@pytest.mark.usefixtures("settings_of_retention")
def test_executions_that_ended_long_ago_go_with_all_they_had() -> None:
    aged(ExecutionFactory.create(status=Status.COMPLETED))
    recent = ExecutionFactory.create(status=Status.FAILED)

    assert clean()["executions"] == 1
    assert list(Execution.objects.all()) == [recent]
    assert TaskRun.objects.count() == 1


@pytest.mark.usefixtures("settings_of_retention")
def test_what_is_alive_and_what_it_came_from_stays() -> None:
    parent = aged(ExecutionFactory.create(status=Status.COMPLETED))
    aged(ExecutionFactory.create(status=Status.WAITING, parent=parent))

    assert clean()["executions"] == 0
    assert Execution.objects.count() == 2


def test_only_the_newest_executions_of_a_pipeline_stay(settings_of_retention: Settings) -> None:
    settings_of_retention.RETENTION_EXECUTIONS_PER_PIPELINE = 2
    pipeline = PipelineFactory.create(next_index=6)
    for index in range(1, 6):
        status = Status.RUNNING if index == 1 else Status.COMPLETED
        ExecutionFactory.create(pipeline=pipeline, index=index, status=status)

    assert clean()["executions"] == 2
    assert sorted(Execution.objects.values_list("index", flat=True)) == [1, 4, 5]


@pytest.mark.usefixtures("settings_of_retention")
def test_deliveries_without_a_verdict_stay_however_old() -> None:
    old_event(verdict=Verdict.IGNORED)
    waiting = old_event(verdict=Verdict.PENDING, wake_at=now())

    assert clean()["deliveries"] == 1
    assert list(RegistryEvent.objects.all()) == [waiting]


@pytest.mark.usefixtures("settings_of_retention")
def test_a_delivery_stays_as_long_as_a_duplicate_names_it() -> None:
    first = old_event(verdict=Verdict.TRIGGERED)
    again = RegistryEventFactory.create(
        webhook=first.webhook, verdict=Verdict.DUPLICATE, duplicate_of=first
    )

    assert clean()["deliveries"] == 0
    RegistryEvent.objects.filter(pk=again.pk).update(created_at=now() - LONG_AGO)
    assert clean()["deliveries"] == 2


@pytest.mark.usefixtures("settings_of_retention")
def test_counts_of_refusals_and_expired_sessions_go() -> None:
    RefusedDelivery.objects.create(reason="wrong_token", minute=now() - LONG_AGO)
    RefusedDelivery.objects.create(reason="wrong_token", minute=now())
    Session.objects.create(session_key="old", expire_date=now() - timedelta(days=1))

    assert clean() == {"executions": 0, "deliveries": 0, "refused deliveries": 1, "sessions": 1}


def test_a_limit_of_nothing_keeps_for_ever(settings_of_retention: Settings) -> None:
    settings_of_retention.RETENTION_EXECUTIONS_DAYS = 0
    settings_of_retention.RETENTION_EVENTS_DAYS = 0
    aged(ExecutionFactory.create(status=Status.COMPLETED))
    old_event()

    assert not any(clean().values())


@pytest.mark.usefixtures("settings_of_retention")
def test_retention_stops_when_its_time_is_up_and_says_there_is_more() -> None:
    aged(ExecutionFactory.create(status=Status.COMPLETED))

    assert retention.clean(lambda: True) == ({"executions": 0}, True)


@pytest.mark.usefixtures("settings_of_retention")
def test_a_dry_run_counts_and_deletes_nothing() -> None:
    aged(ExecutionFactory.create(status=Status.COMPLETED))
    told = StringIO()

    call_command("retention", dry_run=True, stdout=told)

    assert "1  executions" in told.getvalue()
    assert Execution.objects.count() == 1


@pytest.mark.usefixtures("settings_of_retention")
def test_the_command_says_what_it_deleted() -> None:
    aged(ExecutionFactory.create(status=Status.COMPLETED))
    told = StringIO()

    call_command("retention", stdout=told)

    assert told.getvalue() == "1 executions deleted.\n"
