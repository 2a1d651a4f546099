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

from codestream.core.sqlite import turns
from codestream.core.sqlite.turns import FileTurn, Turns
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


HOLDS_ITS_TURN = "FileTurn(path).take(); print('has it', flush=True); time.sleep(60)"
IS_NEXT = """
turn = FileTurn(path)
turn.take(); turn.give(); turn._lock(turns.NEXT, 0)
print('is next', flush=True); time.sleep(60)
"""
WRITES_WITHOUT_A_REST = """
queue = turns.Turns(path)
def write():
    while queue.take(60):
        time.sleep(0.002)
        queue.give()
for _ in range(3):
    threading.Thread(target=write).start()
print('writes', flush=True)
"""


@contextmanager
def process(path: Path, program: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that does this with the turns of the file; killed in the end."""
    first = f"""
import threading, time
from codestream.core.sqlite import turns
from codestream.core.sqlite.turns import FileTurn
path = {str(path)!r}
"""
    command = [sys.executable, "-c", first + program]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as started:
        try:
            assert started.stdout is not None
            assert started.stdout.readline()
            yield started
        finally:
            started.kill()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "PATIENCE_SECONDS", 0.05)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("program", [HOLDS_ITS_TURN, IS_NEXT])
def test_a_process_that_keeps_its_turn_is_not_waited_for_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    path = str(tmp_path / "file")
    with process(tmp_path / "file", program):
        turn, queue = FileTurn(path), Turns(path)

        assert not turn.take()
        assert queue.take(1)  # its threads still write one after another
        assert not queue.take(0)
        queue.give()
        # Who has waited in vain does not wait again for a while.
        monkeypatch.setattr(turns, "PATIENCE_SECONDS", 600)
        assert not turn.take()

    assert turn.take()


def test_the_turn_of_a_killed_process_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn = FileTurn(str(tmp_path / "file"))
    with process(tmp_path / "file", HOLDS_ITS_TURN) as holder:
        holder.kill()
        monkeypatch.setattr(turns, "PATIENCE_SECONDS", 30)

        assert turn.take()


def test_a_process_gets_its_turn_beside_one_that_never_rests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "PATIENCE_SECONDS", 30)
    turn = FileTurn(str(tmp_path / "file"))
    with process(tmp_path / "file", WRITES_WITHOUT_A_REST):
        for _ in range(20):
            assert turn.take()
            turn.give()


@pytest.mark.usefixtures("impatient")
def test_what_the_last_thread_gives_back_is_free_for_other_processes(tmp_path: Path) -> None:
    queue = Turns(str(tmp_path / "file"))
    assert queue.take(1)

    def have_one() -> None:
        assert queue.take(30)
        queue.give()

    threads = [threading.Thread(target=have_one) for _ in range(3)]
    for thread in threads:
        thread.start()

    queue.give()
    for thread in threads:
        thread.join(30)

    with process(tmp_path / "file", HOLDS_ITS_TURN):
        assert not FileTurn(str(tmp_path / "file")).take()


def test_a_file_that_cannot_be_locked_keeps_nobody_from_writing(tmp_path: Path) -> None:
    queue = Turns(str(tmp_path / "no such folder" / "file"))

    for _ in range(2):
        assert queue.take(1)
        queue.give()


def test_a_transaction_that_began_without_its_turn_does_not_wait_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[float] = []

    def refuse(queue: Turns, seconds: float) -> bool:
        asked.append(seconds)
        return False

    monkeypatch.setattr(Turns, "take", refuse)

    with transaction.atomic():
        for _ in range(3):
            ProjectFactory.create()

    assert len(asked) == 1
