"""Counting ends no process, however full the disk is."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from prometheus_client import values

from codestream.core.metrics import RESERVED, ReservedFile


def test_every_process_counts_into_such_a_file() -> None:
    assert vars(values)["MmapedDict"] is ReservedFile


def test_a_file_of_counts_has_its_room_on_the_disk(tmp_path: Path) -> None:
    file = tmp_path / "counter_1.db"

    counts = ReservedFile(str(file))
    counts.write_value("pushes", 3.0, 0.0)
    counts.close()

    assert file.stat().st_blocks * 512 >= RESERVED
    scraped = ReservedFile.read_all_values_from_file(str(file))
    assert [(key, value) for key, value, *_rest in scraped] == [("pushes", 3.0)]


def test_without_room_a_process_counts_for_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(*_call: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", no_room)

    counts = ReservedFile(str(tmp_path / "counter_1.db"))
    counts.write_value("pushes", 3.0, 0.0)

    assert counts.read_value("pushes") == (3.0, 0.0)
    assert list(tmp_path.iterdir()) == []
    counts.close()
