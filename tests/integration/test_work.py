"""Claimable rows: one worker at a time, and nothing written by a worker that lost its lease."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection

from codestream.core import work
from codestream.core.clock import now
from codestream.core.work import (
    Claim,
    LeaseLostError,
    Living,
    WorkKind,
    claim,
    due,
    finishing,
    release,
    wake,
)
from executions.models import Worker
from webhooks.models import RegistryEvent

pytestmark = pytest.mark.django_db
KIND = WorkKind(name="event", model=RegistryEvent, step=print, fail=print)
ME, OTHER = uuid.uuid4(), uuid.uuid4()


def living(*workers: uuid.UUID) -> Living:
    return lambda: Worker.objects.filter(pk__in=workers).values("pk")


def due_keys(alive: Living) -> list[uuid.UUID]:
    return [pk for _, pk in due(KIND, alive=alive, limit=5)]


@pytest.fixture(autouse=True)
def workers(db: None) -> None:
    for worker in (ME, OTHER):
        Worker.objects.create(pk=worker, host="here", pid=1, heartbeat_at=now())


@pytest.fixture
def event() -> RegistryEvent:
    return RegistryEvent.objects.create(registry="dockerhub", body=b"{}", wake_at=now())


def take(event: RegistryEvent, owner: uuid.UUID = ME, alive: Living | None = None) -> Claim:
    alive = living(ME, OTHER) if alive is None else alive
    taken = claim(KIND, event.pk, owner=owner, alive=alive)
    assert taken is not None
    return taken


def test_a_claimed_row_is_not_due_for_anybody_else(event: RegistryEvent) -> None:
    take(event)

    assert due_keys(living(ME, OTHER)) == []
    assert claim(KIND, event.pk, owner=OTHER, alive=living(ME, OTHER)) is None


def test_the_lease_of_a_dead_worker_is_free_at_once(event: RegistryEvent) -> None:
    take(event)

    assert due_keys(living(OTHER)) == [event.pk]
    taken = take(event, OTHER, living(OTHER))
    assert (taken.epoch, taken.takeover) == (2, True)


def test_a_lease_that_ran_out_is_free(event: RegistryEvent) -> None:
    take(event)
    RegistryEvent.objects.update(lease_until=now() - timedelta(seconds=1))

    assert due_keys(living(ME, OTHER)) == [event.pk]


def test_a_lease_from_the_far_future_is_free_since_a_clock_was_set_back(
    event: RegistryEvent,
) -> None:
    take(event)
    RegistryEvent.objects.update(lease_until=now() + timedelta(days=1))

    assert due_keys(living(ME, OTHER)) == [event.pk]


@pytest.mark.parametrize("owner", [None, ME, OTHER], ids=["free", "mine", "of a dead worker"])
@pytest.mark.parametrize("lease", [-1, 1, 59, 61], ids="lease {} s".format)
@pytest.mark.parametrize("wake", [None, -1, 1], ids="wake {} s".format)
def test_a_sweep_finds_what_a_claim_gets(
    event: RegistryEvent, owner: uuid.UUID | None, lease: int, wake: int | None
) -> None:
    moment = now()
    RegistryEvent.objects.update(
        wake_at=None if wake is None else moment + timedelta(seconds=wake),
        lease_owner=owner,
        lease_until=moment + timedelta(seconds=lease) if owner else None,
    )

    found = due_keys(living(ME))
    taken = claim(KIND, event.pk, owner=ME, alive=living(ME))

    assert found == ([event.pk] if taken else [])


def test_a_stale_worker_changes_nothing_at_all(event: RegistryEvent) -> None:
    stale = take(event)
    take(event, OTHER, living(OTHER))

    with pytest.raises(LeaseLostError), finishing(stale, wake_at=None):
        RegistryEvent.objects.update(message="from the stale worker")

    event.refresh_from_db()
    assert event.message == ""
    assert event.lease_owner == OTHER


def test_a_row_woken_during_its_step_is_due_again_at_once(event: RegistryEvent) -> None:
    taken = take(event)
    wake(RegistryEvent, event.pk)

    with finishing(taken, wake_at=None):
        pass

    assert due_keys(living(ME, OTHER)) == [event.pk]


def test_a_row_that_was_left_alone_sleeps_as_its_step_said(event: RegistryEvent) -> None:
    with finishing(take(event), wake_at=None):
        pass

    event.refresh_from_db()
    assert (event.wake_at, event.lease_owner) == (None, None)
    assert due_keys(living(ME, OTHER)) == []


def test_a_row_that_its_worker_finishes_after_all_is_not_taken_over(event: RegistryEvent) -> None:
    slow = take(event)

    def finish_first(execute: Any, sql: str, *rest: Any) -> Any:
        if sql.startswith("UPDATE") and not finished:
            finished.append(slow)
            with finishing(slow, wake_at=None):
                pass
        return execute(sql, *rest)

    finished: list[Claim] = []
    with connection.execute_wrapper(finish_first):
        assert claim(KIND, event.pk, owner=OTHER, alive=living(OTHER)) is None

    assert finished == [slow]
    event.refresh_from_db()
    assert (event.epoch, event.lease_owner, event.wake_at) == (1, None, None)


def test_renewing_a_lost_lease_says_so(event: RegistryEvent) -> None:
    stale = take(event)
    take(event, OTHER, living(OTHER))

    assert work.renew(stale) is False


def test_a_lease_that_was_let_go_is_not_renewed(event: RegistryEvent) -> None:
    taken = take(event)
    release(taken)

    assert work.renew(taken) is False

    event.refresh_from_db()
    assert event.lease_until is None


def test_a_result_that_was_written_is_not_given_back_once_more(event: RegistryEvent) -> None:
    taken = take(event)
    with finishing(taken, wake_at=None):
        pass

    release(taken, wake_at=now())

    event.refresh_from_db()
    assert event.wake_at is None
