"""Threads that write to SQLite take turns, and give theirs back whatever happens."""

from __future__ import annotations

import threading

import pytest
from django.db import IntegrityError, connection, transaction

from codestream.projects.models import Project
from tests.factories import ProjectFactory

pytestmark = [
    pytest.mark.usefixtures("parallel_database"),
    pytest.mark.skipif(connection.vendor != "sqlite", reason="only SQLite has one writer"),
]


def write_elsewhere() -> None:
    """Write in a thread of its own; hangs for good where somebody kept the turn."""

    def write() -> None:
        ProjectFactory.create()
        connection.close()

    thread = threading.Thread(target=write)
    thread.start()
    thread.join(30)
    assert not thread.is_alive()


def has_turn() -> bool:
    return bool(connection._has_turn)  # type: ignore[attr-defined]


def test_a_transaction_keeps_its_turn_until_it_is_committed() -> None:
    with transaction.atomic():
        ProjectFactory.create(name="first")
        assert has_turn()
        with transaction.atomic():
            ProjectFactory.create(name="second")
        assert has_turn()

    assert not has_turn()
    write_elsewhere()


def test_a_write_alone_and_a_read_leave_no_turn_behind() -> None:
    ProjectFactory.create()
    assert Project.objects.exists()

    assert not has_turn()


def test_a_transaction_that_fails_gives_its_turn_back() -> None:
    ProjectFactory.create(name="taken")

    with pytest.raises(IntegrityError), transaction.atomic():
        ProjectFactory.create(name="taken")

    assert not has_turn()
    write_elsewhere()


def test_a_connection_that_is_closed_in_the_middle_gives_its_turn_back() -> None:
    turned = []

    def leave() -> None:
        transaction.set_autocommit(False)
        turned.append(has_turn())
        connection.close()

    thread = threading.Thread(target=leave)
    thread.start()
    thread.join()

    write_elsewhere()
    assert len(turned) == 1


def test_many_threads_lose_nothing() -> None:
    def write() -> None:
        for _ in range(5):
            write_elsewhere()

    threads = [threading.Thread(target=write) for _ in range(8)]
    before = Project.objects.count()

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert Project.objects.count() == before + 40
