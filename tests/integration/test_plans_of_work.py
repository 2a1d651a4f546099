"""What workers ask again and again is read from an index, on the database at hand."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.db import connection
from pytest_django.fixtures import Settings

from codestream.core.clock import now
from codestream.operations.retention import old_executions
from endpoints.clients.dockerhub import HubTag
from executions.models import Execution
from executions.watches import Watches
from executions.workers import living_workers
from tests.factories import DockerWebhookFactory, ExecutionFactory, RegistryEventFactory
from tests.integration.plans import Asked, listening, steps_of
from webhooks import recovery
from webhooks.models import DockerWebhook, RegistryEvent

pytestmark = pytest.mark.django_db
SORTING = ("enable_sort", "enable_bitmapscan")
"""What a server may prefer for the few rows of a test."""


@pytest.fixture
def watches() -> Iterator[Watches]:
    made = Watches(uuid.uuid4(), alive=living_workers)
    yield made
    made.close()


def about(table: str, heard: list[Asked]) -> list[Asked]:
    return [each for each in heard if f'FROM "{table}"' in each.sql]


@pytest.mark.django_db(transaction=True)
def test_the_tasks_that_sleep_are_found_among_all_that_ever_were(watches: Watches) -> None:
    with listening() as heard:
        watches.look()

    (asked,) = about("executions_rolloutwatch", heard)
    # As when there are so many that looking up each one costs more than reading all tasks.
    bare = ("enable_nestloop", "enable_indexscan", "enable_indexonlyscan")
    steps = " ".join(steps_of(asked, without=bare))
    if connection.vendor == "postgresql":
        assert "task_run_due" in steps
    else:
        assert "SCAN executions_taskrun" not in steps


def test_the_end_of_what_is_old_is_found_in_the_index(settings: Settings) -> None:
    settings.RETENTION_EXECUTIONS_DAYS, settings.RETENTION_EXECUTIONS_PER_PIPELINE = 30, 0
    ExecutionFactory.create()
    (old,) = old_executions()

    with listening() as heard:
        list(old.values_list("pk", flat=True)[:50])

    steps = " ".join(steps_of(heard[0], without=SORTING))
    assert "execution_newest_of_all" in steps
    assert "execution_undoing" in steps
    assert "Sort" not in steps
    assert "TEMP B-TREE" not in steps


def test_what_is_too_much_of_a_pipeline_is_found_in_its_index(settings: Settings) -> None:
    settings.RETENTION_EXECUTIONS_DAYS, settings.RETENTION_EXECUTIONS_PER_PIPELINE = 0, 1
    first = ExecutionFactory.create(index=1, status="COMPLETED", finished_at=now())
    ExecutionFactory.create(pipeline=first.pipeline, index=2, status="COMPLETED", finished_at=now())
    first.pipeline.next_index = 3
    first.pipeline.save()
    (surplus,) = old_executions()

    with listening() as heard:
        assert list(surplus.values_list("pk", flat=True)[:50]) == [first.pk]

    steps = " ".join(steps_of(heard[0], without=SORTING))
    assert "TEMP B-TREE" not in steps
    assert "Sort" not in steps
    assert Execution.objects.count() == 2


@pytest.fixture
def webhook() -> DockerWebhook:
    made: DockerWebhook = DockerWebhookFactory.create(recovery=DockerWebhook.Recovery.ON)
    for number in range(6):
        RegistryEventFactory.create(webhook=made, tag=f"1.{number}", digest=f"sha256:{number}")
    made.recover_since = now() - timedelta(days=2)
    return made


def test_a_look_for_a_tag_goes_through_a_part_of_the_deliveries(webhook: DockerWebhook) -> None:
    RegistryEvent.objects.update(created_at=now() - timedelta(days=1))
    tag = HubTag(name="absent", digest="sha256:absent", pushed_at=now() - timedelta(hours=1))

    with listening() as heard:
        assert recovery._is_untold(webhook, "demo/web", tag)

    of_deliveries = [each for each in heard if 'FROM "webhooks_registryevent" WHERE' in each.sql]
    assert len(of_deliveries) == 2
    for asked in of_deliveries:
        steps = steps_of(asked)
        assert [step for step in steps if "event_by_webhook" in step], steps
        assert [step for step in steps if "created_at>" in step or "created_at >" in step], steps
    of_pushes = [each for each in heard if 'FROM "webhooks_push" WHERE' in each.sql]
    assert len(of_pushes) == 2
    for asked in of_pushes:
        steps = steps_of(asked)
        assert [step for step in steps if "one_current_push" in step], steps


def test_the_delivery_of_a_push_is_looked_for_from_its_time_upwards(
    webhook: DockerWebhook,
) -> None:
    tag = HubTag(name="1.0", digest="sha256:0", pushed_at=now() - timedelta(days=1))

    with listening() as heard:
        assert not recovery._is_untold(webhook, "demo/web", tag)

    (asked,) = heard
    assert '"created_at" ASC' in asked.sql
    steps = " ".join(steps_of(asked, without=SORTING))
    assert "event_by_webhook" in steps
    assert "Sort" not in steps
    assert "TEMP B-TREE" not in steps
