"""Periodic work: one worker of many does it, and comes back."""

from __future__ import annotations

from datetime import timedelta

import pytest

from codestream.core.clock import now
from codestream.operations import chores
from codestream.operations.chores import Outcome, PeriodicWork, ensure_chores
from codestream.operations.models import Chore
from executions.worker import drain
from tests.integration.claims import kind_of, taken

pytestmark = pytest.mark.django_db


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


def test_chores_are_made_once_and_are_not_due_at_a_start() -> None:
    Chore.objects.all().delete()

    ensure_chores(using="default")
    ensure_chores(using="default")

    assert sorted(Chore.objects.values_list("name", flat=True)) == [
        "free places",
        "logs",
        "lost pushes",
        "retention",
    ]
    assert not Chore.objects.filter(wake_at__lte=now()).exists()


def test_a_chore_that_has_more_to_do_comes_back_at_once(sweeping: list[Outcome]) -> None:
    sweeping += [Outcome(message="half", more=True), Outcome(message="all")]

    drain()

    chore = Chore.objects.get()
    assert (sweeping, chore.message, chore.lease_owner) == ([], "all", None)
    assert chore.wake_at is not None
    assert chore.wake_at > now() + timedelta(minutes=59)


def test_a_chore_that_failed_says_so_and_is_tried_again(sweeping: list[Outcome]) -> None:
    chore = Chore.objects.get()

    kind_of(chore).fail(taken(chore), "Internal error (KeyError).")

    chore = Chore.objects.get()
    assert (chore.message, chore.failures) == ("Internal error (KeyError).", 1)
    assert chore.wake_at is not None
    assert chore.wake_at > now()


def test_a_chore_of_a_newer_release_is_left_to_its_workers(sweeping: list[Outcome]) -> None:
    Chore.objects.update(name="from tomorrow")

    drain()

    assert Chore.objects.filter(wake_at__gt=now(), last_run_at=None).exists()


def test_when_a_chore_was_done_last_is_told_by_the_clock_of_the_database(
    sweeping: list[Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    """This machine's may be ahead."""
    sweeping.append(Outcome(message="all"))
    monkeypatch.setattr(chores, "now", lambda: now() + timedelta(hours=1))

    chores.run_chore(taken(Chore.objects.get()))

    last = chores.last_run()
    assert last is not None
    assert last < now() + timedelta(minutes=1)
