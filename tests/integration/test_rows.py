"""Rows that are written without Django's composing stand as those that it writes."""

from __future__ import annotations

import pytest
from django.db.models import F

from codestream.core.clock import database_now, now
from codestream.core.rows import insert, update
from executions.models import ExecutionEvent
from tests.factories import DockerWebhookFactory, ExecutionFactory
from webhooks.models import RegistryEvent

pytestmark = pytest.mark.django_db


def test_a_row_is_written_down_as_saving_it_would() -> None:
    webhook = DockerWebhookFactory()
    given = {"webhook": webhook, "registry": "dockerhub", "body": b"{}", "headers": {"A": "b"}}
    rows = [RegistryEvent(**given, remote_addr="::1", steps=[1]) for _ in range(2)]
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


def test_columns_are_changed_where_the_row_is_as_it_was_seen() -> None:
    event = RegistryEvent.objects.create(registry="dockerhub", body=b"{}", wake_seq=1)
    seen = {"id": event.pk, "lease_owner": None, "wake_seq": 1}

    changes = {"steps": ["read"], "wake_seq": F("wake_seq") + 1, "wake_at": database_now()}
    changed = [update(RegistryEvent, seen, **changes) for _ in range(2)]

    event.refresh_from_db()
    assert changed == [1, 0]
    assert (event.steps, event.wake_seq) == (["read"], 2)
    assert event.wake_at is not None
