"""Threads and processes that write to SQLite take turns, and give theirs back whatever happens."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.db import IntegrityError, connection, transaction

from codestream.core.sqlite.turns import Turns
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


HOLDS_ITS_TURN = "turns.take(60); print('has it', flush=True); time.sleep(60)"
WRITES_WITHOUT_A_REST = """
def write():
    while turns.take(60):
        time.sleep(0.002)
        turns.give()
for _ in range(3):
    threading.Thread(target=write).start()
print('writes', flush=True)
"""


@contextmanager
def process(path: Path, program: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that does this with the turns of the file; killed in the end."""
    first = f"""
import threading, time
from codestream.core.sqlite.turns import Turns
turns = Turns({str(path)!r})
"""
    command = [sys.executable, "-c", first + program]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as started:
        try:
            assert started.stdout is not None
            assert started.stdout.readline()
            yield started
        finally:
            started.kill()


def test_a_turn_is_not_waited_for_longer_than_is_said(tmp_path: Path) -> None:
    with process(tmp_path / "file", HOLDS_ITS_TURN):
        turns = Turns(str(tmp_path / "file"))

        assert not turns.take(0.05)
        assert not turns.take(0.05)


def test_the_turn_of_a_killed_process_is_free(tmp_path: Path) -> None:
    turns = Turns(str(tmp_path / "file"))
    with process(tmp_path / "file", HOLDS_ITS_TURN) as holder:
        assert not turns.take(0.05)
        holder.kill()

        assert turns.take(30)


def test_a_process_gets_its_turn_beside_one_that_never_rests(tmp_path: Path) -> None:
    turns = Turns(str(tmp_path / "file"))
    with process(tmp_path / "file", WRITES_WITHOUT_A_REST):
        for _ in range(20):
            assert turns.take(30)
            turns.give()


def test_what_the_last_thread_gives_back_is_free_for_other_processes(tmp_path: Path) -> None:
    turns = Turns(str(tmp_path / "file"))
    assert turns.take(1)

    def have_one() -> None:
        assert turns.take(30)
        turns.give()

    threads = [threading.Thread(target=have_one) for _ in range(3)]
    for thread in threads:
        thread.start()

    turns.give()
    for thread in threads:
        thread.join(30)

    with process(tmp_path / "file", HOLDS_ITS_TURN):
        assert not turns.take(0.05)
