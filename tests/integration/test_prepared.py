"""Questions that are composed once answer like the querysets that they are made of."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.db.models import QuerySet
from django.db.transaction import TransactionManagementError
from pytest_django import DjangoAssertNumQueries

from codestream.core import clock
from codestream.core.clock import database_now, now
from codestream.core.prepared import Prepared
from tests.factories import DockerWebhookFactory
from webhooks.models import DockerWebhook, RegistryEvent

pytestmark = pytest.mark.django_db


@pytest.fixture
def webhooks() -> list[DockerWebhook]:
    return [DockerWebhookFactory(name=name) for name in ("first", "second")]


def test_it_gives_the_rows_with_what_was_selected_beside_them(
    webhooks: list[DockerWebhook], django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    question = Prepared(
        lambda key: DockerWebhook.objects.select_related("project", "endpoint").filter(pk=key)
    )

    for webhook in webhooks:
        with django_assert_num_queries(1):
            (found,) = question.all(webhook.pk)
            seen = (found, found.project, found.endpoint.properties, found.api_token)
        assert seen == (webhook, webhook.project, webhook.endpoint.properties, webhook.api_token)


def test_it_gives_columns_where_columns_are_asked_for(webhooks: list[DockerWebhook]) -> None:
    named = DockerWebhook.objects.filter
    columns = Prepared(lambda name: named(name=name).values_list("pk", "name"))
    keys = Prepared(lambda name: named(name=name).values_list("pk", flat=True))

    assert columns.all("second") == [(webhooks[1].pk, "second")]
    assert (keys.first("first"), keys.first("third")) == (webhooks[0].pk, None)


@pytest.mark.parametrize("name", ["plain", "it's", "a%sb", "100%", "back\\slash", 'say "so"', ""])
def test_a_text_that_never_changes_may_hold_anything(name: str) -> None:
    named = DockerWebhookFactory(name=name)
    DockerWebhookFactory(name="other")
    question = Prepared(lambda key: DockerWebhook.objects.filter(name=name, project=key))

    assert question.all(named.project.pk) == [named]


def test_a_column_that_was_not_selected_is_read_when_it_is_needed(
    webhooks: list[DockerWebhook],
) -> None:
    question = Prepared(lambda key: DockerWebhook.objects.only("name").filter(pk=key))

    found = question.first(webhooks[0].pk)

    assert found is not None
    assert found.get_deferred_fields() >= {"enabled"}
    assert found.enabled


def test_it_is_composed_once() -> None:
    times = []

    def ask(key: uuid.UUID) -> QuerySet[DockerWebhook]:
        times.append(key)
        return DockerWebhook.objects.filter(pk=key)

    question = Prepared(ask)

    assert [question.all(uuid.uuid4()) for _ in range(3)] == [[], [], []]
    assert len(times) == 1


@pytest.mark.skipif(connection.vendor != "sqlite", reason="a server has a clock of its own")
def test_the_present_is_that_of_the_asking(monkeypatch: pytest.MonkeyPatch) -> None:
    tomorrow = now() + timedelta(days=1)
    event = RegistryEvent.objects.create(registry="dockerhub", body=b"{}", wake_at=tomorrow)
    question = Prepared(lambda: RegistryEvent.objects.filter(wake_at__lt=database_now()))

    before = question.all()
    monkeypatch.setattr(clock, "now", lambda: tomorrow + timedelta(seconds=1))

    assert (before, question.all()) == ([], [event])


@pytest.mark.django_db(transaction=True)
def test_a_row_is_locked_in_a_transaction_only(webhooks: list[DockerWebhook]) -> None:
    question = Prepared(lambda key: DockerWebhook.objects.select_for_update().filter(pk=key))
    with transaction.atomic():
        assert question.first(webhooks[0].pk) == webhooks[0]

    with pytest.raises(TransactionManagementError):
        question.first(webhooks[0].pk)
