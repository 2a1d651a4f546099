"""A worker that is started before the database is brought up to date waits for that."""

from __future__ import annotations

import logging
import threading

import pytest
from django.db import OperationalError, connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from codestream.operations.management.commands import worker
from codestream.operations.management.commands.worker import DatabaseAtStart
from executions.models import Worker
from executions.worker import WorkerLoop
from tests.running import until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def newest_migration() -> tuple[str, str]:
    """One on which no other builds."""
    found: tuple[str, str] = MigrationLoader(connection).graph.leaf_nodes("executions")[0]
    return found


def test_a_worker_says_once_that_the_database_lacks_migrations(
    newest_migration: tuple[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    applied, database = MigrationRecorder(connection), DatabaseAtStart()
    applied.record_unapplied(*newest_migration)
    try:
        with caplog.at_level(logging.WARNING):
            assert not database.is_migrated()
            assert not database.is_migrated()
    finally:
        applied.record_applied(*newest_migration)

    assert len(caplog.messages) == 1
    assert "lacks migrations" in caplog.text
    assert database.is_migrated()


def test_a_database_that_does_not_answer_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    database, answers = DatabaseAtStart(), iter([OperationalError("no route"), None])

    def ask() -> list[str]:
        if problem := next(answers):
            raise problem
        return []

    monkeypatch.setattr(worker, "open_migrations", ask)

    assert not database.is_migrated()
    assert "no route" in caplog.text
    assert database.is_migrated()


def test_a_worker_does_nothing_before_it_is_ready() -> None:
    migrated, asked = threading.Event(), threading.Event()

    def is_ready() -> bool:
        asked.set()
        return migrated.is_set()

    loop = WorkerLoop(threads=1)
    working = threading.Thread(target=lambda: loop.run(is_ready=is_ready))
    working.start()
    try:
        assert asked.wait(30)
        assert not Worker.objects.exists()
        migrated.set()
        until(Worker.objects.exists)
    finally:
        loop.stop()
        working.join(30)


def test_a_worker_that_waits_ends_when_it_is_asked_to() -> None:
    loop = WorkerLoop(threads=1)
    loop.stop()

    loop.run(is_ready=lambda: False)

    assert not Worker.objects.exists()
