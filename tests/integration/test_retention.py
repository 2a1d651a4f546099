"""What is deleted after its time, and what never is."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO

import pytest
from django.contrib.sessions.models import Session
from django.core.management import call_command
from pytest_django.fixtures import Settings

from codestream.core.clock import now
from codestream.operations import retention
from executions.models import Execution, ImagePush, TaskRun
from executions.states import Status
from tests.factories import (
    DockerWebhookFactory,
    ExecutionFactory,
    PipelineFactory,
    RegistryEventFactory,
)
from webhooks.matching import Verdict
from webhooks.models import Push, RefusedDelivery, RegistryEvent

pytestmark = pytest.mark.django_db
LONG_AGO = timedelta(days=400)


@pytest.fixture
def settings_of_retention(settings: Settings) -> Settings:
    settings.RETENTION_EVENTS_DAYS = 30
    settings.RETENTION_EXECUTIONS_DAYS = 30
    settings.RETENTION_EXECUTIONS_PER_PIPELINE = 0
    return settings


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
def test_a_push_goes_after_another_has_replaced_it_and_its_deliveries_are_gone() -> None:
    webhook = DockerWebhookFactory()
    given = {"webhook": webhook, "repository": "demo/web", "tag": "1.2.3"}
    current = Push.objects.create(**given, sequence=4)
    told, recent, _replaced = (
        Push.objects.create(**given, sequence=number, is_current=False) for number in (3, 2, 1)
    )
    Push.objects.exclude(pk=recent.pk).update(created_at=now() - LONG_AGO)
    RegistryEventFactory.create(push=told)

    assert clean()["pushes"] == 1
    assert set(Push.objects.all()) == {current, told, recent}


@pytest.mark.usefixtures("settings_of_retention")
def test_a_push_of_a_task_that_is_not_over_stays() -> None:
    given = {"webhook": DockerWebhookFactory(), "repository": "demo/web", "is_current": False}
    for number, status in enumerate((Status.RUNNING, Status.COMPLETED)):
        execution = ExecutionFactory.create(status=status)
        task = TaskRun.objects.get(stage_run__execution=execution)
        made = ImagePush.objects.create(execution=execution, task_run=task, repository="demo/web")
        Push.objects.create(**given, tag=f"1.{number}", sequence=1, made_by=made)
    Push.objects.update(created_at=now() - LONG_AGO)

    assert clean()["pushes"] == 1
    assert Push.objects.get().tag == "1.0"


@pytest.mark.usefixtures("settings_of_retention")
def test_a_delivery_that_runs_again_stays_until_that_is_judged() -> None:
    first = old_event(verdict=Verdict.TRIGGERED)
    again = RegistryEventFactory.create(rerun_of=first, verdict=Verdict.PENDING)

    before = clean()["deliveries"]
    RegistryEvent.objects.filter(pk=again.pk).update(verdict=Verdict.TRIGGERED)

    assert (before, clean()["deliveries"]) == (0, 1)


@pytest.mark.usefixtures("settings_of_retention")
def test_counts_of_refusals_and_expired_sessions_go() -> None:
    RefusedDelivery.objects.create(reason="wrong_token", minute=now() - LONG_AGO)
    RefusedDelivery.objects.create(reason="wrong_token", minute=now())
    Session.objects.create(session_key="old", expire_date=now() - timedelta(days=1))

    assert {name: count for name, count in clean().items() if count} == {
        "refused deliveries": 1,
        "sessions": 1,
    }


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
