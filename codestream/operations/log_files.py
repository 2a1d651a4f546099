"""Keeps the log files of ``make run`` small: a file that has grown is copied and emptied.

Copied, since the process that writes it has it open; a line written between the two is lost.
Pure: standard library only.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from pathlib import Path

DAY_SECONDS = 24 * 60 * 60


@dataclass(frozen=True, slots=True, kw_only=True)
class LogPolicy:
    """How large a file may grow (0: as it likes), and how many old ones stay for how many days
    (0: for ever).
    """

    folder: Path
    most_bytes: int
    days: int
    keep: int


def to_rotate(policy: LogPolicy) -> list[Path]:
    """Return the files that have grown too large, and the old ones that have had their time."""
    return [*_grown(policy), *_outlived(policy)]


def rotate(policy: LogPolicy) -> list[Path]:
    """Empty what has grown, after a copy ``web.log.1`` and so on; delete what is too old."""
    done = to_rotate(policy)
    for log in _grown(policy):
        _shift(log, policy.keep)
        if policy.keep:
            shutil.copy2(log, _old(log, 1))
        with log.open("r+b") as file:
            file.truncate(0)
    for log in _outlived(policy):
        log.unlink(missing_ok=True)
    return done


def _grown(policy: LogPolicy) -> list[Path]:
    if not policy.most_bytes:
        return []
    return [log for log in _files(policy, "*.log") if log.stat().st_size > policy.most_bytes]


def _outlived(policy: LogPolicy) -> list[Path]:
    if not policy.days:
        return []
    limit = time.time() - policy.days * DAY_SECONDS
    return [log for log in _files(policy, "*.log.*") if log.stat().st_mtime < limit]


def _files(policy: LogPolicy, pattern: str) -> list[Path]:
    return sorted(policy.folder.glob(pattern)) if policy.folder.is_dir() else []


def _shift(log: Path, keep: int) -> None:
    _old(log, keep).unlink(missing_ok=True)
    for number in range(keep - 1, 0, -1):
        if (older := _old(log, number)).exists():
            older.rename(_old(log, number + 1))


def _old(log: Path, number: int) -> Path:
    return log.with_name(f"{log.name}.{number}")
