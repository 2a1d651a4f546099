"""The retention deletes, before each SQL statement of somebody who refers to what it deletes."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import partial
from itertools import count

import pytest
from pytest_django.fixtures import Settings

from codestream.core.clock import now
from codestream.core.versions import DeletedMeanwhileError
from codestream.operations import retention
from executions.models import Execution
from executions.services import rerun_execution
from executions.states import Status
from tests.factories import DockerWebhookFactory, ExecutionFactory, UserFactory
from tests.integration.claims import taken
from tests.integration.test_one_run import payload
from tests.interleaving import interleave
from webhooks.judging import judge_event
from webhooks.models import DockerWebhook, RegistryEvent
from webhooks.services import receive_event, rerun_event

pytestmark = pytest.mark.usefixtures("parallel_database")
KEPT = timedelta(days=30)
LONG_AGO = timedelta(days=400)
MINUTE = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def settings_of_retention(settings: Settings) -> None:
    settings.RETENTION_EVENTS_DAYS = settings.RETENTION_EXECUTIONS_DAYS = KEPT.days


def clean() -> None:
    retention.clean(lambda: False)


def delivered(webhook: DockerWebhook, tag: str, *, ago: timedelta = LONG_AGO) -> RegistryEvent:
    event = receive_event(webhook=webhook, body=payload(tag), headers={}, remote_addr=None)
    RegistryEvent.objects.filter(pk=event.pk).update(created_at=now() - ago)
    return event


def ended_long_ago(**fields: object) -> None:
    """Let these executions be over, and old."""
    over = {"status": Status.COMPLETED, "created_at": now() - LONG_AGO}
    Execution.objects.filter(**fields).update(**over, finished_at=now() - LONG_AGO)


def test_a_duplicate_is_judged_though_the_delivery_that_it_doubles_goes() -> None:
    webhook = DockerWebhookFactory.create(settle_seconds=3600)
    for before in count():
        tag = f"1.{before}"
        judge_event(taken(delivered(webhook, tag, ago=KEPT + 20 * MINUTE)))
        again = delivered(webhook, tag, ago=KEPT - 20 * MINUTE)
        claim = taken(again)

        reached = interleave(partial(judge_event, claim), clean, before=before)

        again.refresh_from_db()
        if again.verdict == "DUPLICATE":
            assert again.duplicate_of is not None
        else:
            assert again.verdict == "TRIGGERED", again.message
        if not reached:
            assert before > 3, "the judgement did next to nothing"
            return


def test_what_a_person_runs_again_runs_though_its_first_execution_goes() -> None:
    webhook, person = DockerWebhookFactory.create(), UserFactory.create()
    for before in count():
        first = delivered(webhook, f"1.{before}")
        judge_event(taken(first))
        ended_long_ago(registry_events=first)
        first.refresh_from_db()
        again = rerun_event(event=first, by=person)
        claim = taken(again)

        reached = interleave(partial(judge_event, claim), clean, before=before)

        again.refresh_from_db()
        assert again.verdict == "TRIGGERED", again.message
        assert again.execution is not None
        if not reached:
            assert before > 3, "the judgement did next to nothing"
            return


def test_a_person_who_runs_an_execution_again_hears_that_it_is_gone() -> None:
    person, outcomes = UserFactory.create(), set()
    for before in count():
        execution = ExecutionFactory.create()
        ended_long_ago(pk=execution.pk)
        execution.refresh_from_db()
        outcome: list[str] = []

        def run_again(execution: Execution = execution, outcome: list[str] = outcome) -> None:
            try:
                again = rerun_execution(execution=execution, by=person)
            except DeletedMeanwhileError:
                outcome.append("refused")
            else:
                outcome.append("started")
                Execution.objects.filter(pk=again.pk).delete()

        reached = interleave(run_again, clean, before=before)

        assert len(outcome) == 1
        outcomes.add(outcome[0])
        if not reached:
            assert outcomes == {"refused", "started"}
            return


def test_of_two_cleaners_at_once_both_leave_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    small = tuple(replace(each, batch=1) for each in retention.OUTDATED)
    monkeypatch.setattr(retention, "OUTDATED", small)
    for before in count():
        for _ in range(3):
            ended_long_ago(pk=ExecutionFactory.create().pk)
        left: list[int] = []

        def clean_and_count(left: list[int] = left) -> None:
            clean()
            left.append(Execution.objects.count())

        reached = interleave(clean, clean_and_count, before=before)

        assert Execution.objects.count() == 0
        # The other one may hold one row at that moment.
        assert left[0] <= 1
        if not reached:
            assert before > 6, "it did next to nothing"
            return
