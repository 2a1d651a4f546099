"""What an examination comes to: findings, each in two lines. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Grade(StrEnum):
    """How bad it is."""

    OK = "OK"
    WARN = "WARN"
    FAIL = "FAIL"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at: what is the case, and what to do about it."""

    about: str
    grade: Grade
    what: str
    todo: str = ""


def ok(about: str, what: str) -> Finding:
    """Nothing to do."""
    return Finding(about=about, grade=Grade.OK, what=what)


def warn(about: str, what: str, todo: str) -> Finding:
    """It works, and somebody should look at it."""
    return Finding(about=about, grade=Grade.WARN, what=what, todo=todo)


def fail(about: str, what: str, todo: str) -> Finding:
    """It does not work."""
    return Finding(about=about, grade=Grade.FAIL, what=what, todo=todo)
