"""What a stand-in remembers from one start to the next."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from codestream.sandbox.state_file import StateFile


def test_a_full_disk_ends_nobody_and_leaves_the_last_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = StateFile(tmp_path / "state.json")
    file.save(["first"])

    def full(_source: object, _target: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(os, "rename", full)
        disk.setattr(os, "replace", full)
        file.save(["second"])

    assert file.load() == ["first"]
    assert [each.name for each in tmp_path.iterdir()] == ["state.json"]
    assert "state.json is not saved" in capsys.readouterr().err

    file.save(["third"])
    assert file.load() == ["third"]
