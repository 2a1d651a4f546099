"""Log files that have grown are copied and emptied, and old copies go."""

from __future__ import annotations

import os
import time
from pathlib import Path

from codestream.core.metrics import (
    RESERVED,
    ReservedFile,
    forget_the_dead,
    shrink_the_dead,
)
from codestream.operations.log_files import DAY_SECONDS, LogPolicy, rotate, to_rotate


def policy(folder: Path, **changes: int) -> LogPolicy:
    limits = {"most_bytes": 10, "days": 0, "keep": 2, **changes}
    return LogPolicy(folder=folder, **limits)


def test_a_file_that_has_grown_is_emptied_after_a_copy(tmp_path: Path) -> None:
    log = tmp_path / "web.log"
    log.write_text("a long history")

    rotate(policy(tmp_path))

    assert log.read_text() == ""
    assert (tmp_path / "web.log.1").read_text() == "a long history"


def test_whoever_has_the_file_open_writes_on_at_its_beginning(tmp_path: Path) -> None:
    with (tmp_path / "web.log").open("a") as writer:
        writer.write("a long history")
        writer.flush()
        rotate(policy(tmp_path))
        writer.write("next")

    assert (tmp_path / "web.log").read_text() == "next"


def test_only_so_many_copies_stay(tmp_path: Path) -> None:
    for text in ("first history", "second history", "third history"):
        (tmp_path / "web.log").write_text(text)
        rotate(policy(tmp_path))

    copies = {file.name: file.read_text() for file in tmp_path.glob("*.log.*")}
    assert copies == {"web.log.1": "third history", "web.log.2": "second history"}


def test_a_copy_that_has_had_its_days_is_deleted(tmp_path: Path) -> None:
    copy = tmp_path / "web.log.1"
    copy.write_text("old")
    os.utime(copy, (0, time.time() - 3 * DAY_SECONDS))

    assert to_rotate(policy(tmp_path, days=2)) == [copy]
    rotate(policy(tmp_path, days=2))

    assert not copy.exists()


def test_small_files_and_a_missing_folder_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "web.log").write_text("short")

    assert rotate(policy(tmp_path)) == []
    assert rotate(policy(tmp_path / "none")) == []


def test_a_limit_of_nothing_lets_a_file_grow(tmp_path: Path) -> None:
    (tmp_path / "web.log").write_text("a long history")

    assert rotate(policy(tmp_path, most_bytes=0)) == []


def test_counts_of_processes_that_are_gone_are_removed(tmp_path: Path) -> None:
    for name in (f"counter_{os.getpid()}.db", "counter_4999999.db", "notes.txt"):
        (tmp_path / name).touch()

    assert forget_the_dead(tmp_path) == 1
    assert not (tmp_path / "counter_4999999.db").exists()
    assert (tmp_path / f"counter_{os.getpid()}.db").exists()


def test_counts_of_dead_processes_stay_and_their_unused_room_is_given_back(tmp_path: Path) -> None:
    dead, living = tmp_path / "counter_4999999.db", tmp_path / f"counter_{os.getpid()}.db"
    for file in (dead, living):
        counts = ReservedFile(str(file))
        counts.write_value("key", 3.0, 0.0)
        counts.close()

    shrink_the_dead(tmp_path)

    assert dead.stat().st_size < 100
    assert living.stat().st_size == RESERVED
    assert [found[1] for found in ReservedFile.read_all_values_from_file(str(dead))] == [3.0]
    assert {file.name for file in tmp_path.iterdir()} == {dead.name, living.name}
