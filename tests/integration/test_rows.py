"""Rows that are written without Django's composing stand as those that it writes."""

from __future__ import annotations

from contextlib import suppress
from typing import Any
from uuid import uuid4

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import F

from codestream.core.clock import database_now, now
from codestream.core.prepared import Prepared
from codestream.core.rows import insert, insert_if, unsynced, update, update_unsynced
from executions.models import ExecutionEvent
from tests.factories import DockerWebhookFactory, ExecutionFactory
from webhooks.models import DockerWebhook, RegistryEvent

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("more", [{}, {"headers": {"A": "b"}, "steps": [1], "remote_addr": "::1"}])
def test_a_row_is_written_down_as_saving_it_would(more: dict[str, Any]) -> None:
    webhook = DockerWebhookFactory()
    given = {"webhook": webhook, "registry": "dockerhub", "body": b"{}", **more}
    rows = [RegistryEvent(**given) for _ in range(2)]
    for row in rows:
        row.wake_at = database_now()

    insert(rows[0])
    rows[1].save(force_insert=True)

    own = {"id": None, "created_at": None, "updated_at": None, "wake_at": None}
    written, saved = RegistryEvent.objects.order_by("created_at").values()
    assert {**written, **own} == {**saved, **own}
    assert [each.pk for each in rows] == [written["id"], saved["id"]]
    assert all(
        (each["created_at"], each["updated_at"], each["wake_at"]) for each in (written, saved)
    )


def test_a_row_is_written_down_while_a_question_has_an_answer() -> None:
    webhook = DockerWebhookFactory()
    named = Prepared(lambda name: DockerWebhook.objects.filter(name=name).values_list("pk"))
    own = {"id": uuid4(), "created_at": now(), "updated_at": now(), "wake_at": database_now()}
    given: dict[str, Any] = {
        "webhook_id": webhook.pk,
        "registry": "dockerhub",
        "body": b"{}",
        "remote_addr": "::1",
    }
    given |= {"headers": {"A": "b"}, "steps": [1], "tag": ""}
    like = RegistryEvent(**given, wake_at=database_now())

    is_written = [
        insert_if(named.asked(name), RegistryEvent, {**own, **given})
        for name in ("absent", webhook.name)
    ]
    insert(like)

    assert is_written == [False, True]
    written, plain = map(dict, RegistryEvent.objects.order_by("created_at").values())
    assert {name: written.pop(name) for name in ("id", "created_at", "updated_at")} == {
        name: own[name] for name in ("id", "created_at", "updated_at")
    }
    assert written.pop("wake_at")
    assert written.items() <= plain.items()


@pytest.mark.parametrize("name", ["id", "created_at", "updated_at"])
def test_what_differs_from_row_to_row_has_to_be_given(name: str) -> None:
    known = Prepared(lambda name: DockerWebhook.objects.filter(name=name).values_list("pk"))
    given: dict[str, Any] = {"id": uuid4(), "created_at": now(), "updated_at": now()}
    del given[name]

    with pytest.raises(ValueError, match=f"RegistryEvent.{name} has to be given"):
        insert_if(known.asked("any"), RegistryEvent, given)


def test_what_is_no_column_is_not_left_out_in_silence() -> None:
    known = Prepared(lambda name: DockerWebhook.objects.filter(name=name).values_list("pk"))
    given = {"id": uuid4(), "created_at": now(), "updated_at": now(), "remote_adr": "::1"}

    with pytest.raises(ValueError, match="RegistryEvent has no column remote_adr"):
        insert_if(known.asked("any"), RegistryEvent, given)


def test_the_present_time_is_that_of_each_statement() -> None:
    event = RegistryEvent(registry="dockerhub", body=b"{}")
    insert(event)
    seen = []

    for _ in range(2):
        update(RegistryEvent, {"id": event.pk}, leased_at=database_now(), epoch=F("epoch") + 1)
        event.refresh_from_db()
        seen.append(event.leased_at)

    assert seen[0]
    assert seen[1]
    assert seen[0] <= seen[1]
    assert event.epoch == 2
    if connection.vendor == "sqlite":
        assert seen[0] < seen[1]


def test_a_row_that_was_written_down_is_changed_by_its_next_save() -> None:
    event = RegistryEvent(registry="dockerhub", body=b"{}")

    insert(event)
    event.tag = "1.2.3"
    event.save()

    assert RegistryEvent.objects.get().tag == "1.2.3"


def test_rows_whose_keys_the_database_counts_are_written_down_in_order() -> None:
    execution = ExecutionFactory()
    story = [
        ExecutionEvent(execution=execution, kind="task", subject=str(number), at=now())
        for number in range(250)
    ]

    insert(*story)
    insert()

    found = execution.events.order_by("pk").values_list("subject", flat=True)
    assert list(found) == [str(number) for number in range(250)]


@pytest.mark.django_db(transaction=True)
def test_rows_are_written_down_all_or_none() -> None:
    """However many statements the database needs for them."""
    rows = [RegistryEvent(registry="dockerhub", body=b"{}") for _ in range(120)]
    rows[-1].pk = rows[0].pk

    with pytest.raises(IntegrityError):
        insert(*rows)

    assert not RegistryEvent.objects.exists()


def test_columns_are_changed_where_the_row_is_as_it_was_seen() -> None:
    event = RegistryEvent.objects.create(registry="dockerhub", body=b"{}", wake_seq=1)
    seen = {"id": event.pk, "lease_owner": None, "wake_seq": 1}

    changes = {"steps": ["read"], "wake_seq": F("wake_seq") + 1, "wake_at": database_now()}
    changed = [update(RegistryEvent, seen, **changes) for _ in range(2)]

    event.refresh_from_db()
    assert changed == [1, 0]
    assert (event.steps, event.wake_seq) == (["read"], 2)
    assert event.wake_at is not None


def waits_for_the_disk() -> bool:
    """Whether a transaction that is committed as the present one waits for the disk."""
    asking = (
        "SHOW synchronous_commit" if connection.vendor == "postgresql" else "PRAGMA synchronous"
    )
    with connection.cursor() as cursor:
        cursor.execute(asking)
        (answer,) = cursor.fetchone()
    return answer in ("on", 2)


@pytest.mark.django_db(transaction=True)
def test_what_may_be_undone_by_a_power_cut_does_not_wait_for_the_disk() -> None:
    execution = ExecutionFactory()

    with unsynced(), transaction.atomic():
        assert update_unsynced(type(execution), {"id": execution.pk}, comments="seen") == 1
        assert not waits_for_the_disk()
    assert waits_for_the_disk()

    with suppress(ZeroDivisionError), unsynced(), transaction.atomic():
        update_unsynced(type(execution), {"id": execution.pk}, comments="lost")
        raise ZeroDivisionError
    assert waits_for_the_disk()

    execution.refresh_from_db()
    assert execution.comments == "seen"


@pytest.mark.django_db(transaction=True)
def test_a_change_by_itself_does_not_wait_and_leaves_the_next_as_it_is() -> None:
    execution = ExecutionFactory()

    assert update_unsynced(type(execution), {"id": execution.pk}, comments="seen") == 1
    assert update_unsynced(type(execution), {"id": execution.pk, "comments": ""}, version=9) == 0

    assert waits_for_the_disk()


@pytest.mark.django_db(transaction=True)
def test_a_transaction_that_has_begun_waits_as_it_was_begun() -> None:
    with transaction.atomic(), unsynced():
        assert waits_for_the_disk()
