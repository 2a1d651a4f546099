"""Finds what uses a variable. The apps above know, and register how to find it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from codestream.projects.models import Variable

Users = Callable[[Variable], Iterable[str]]
_needing: list[Users] = []
_mentioning: list[Users] = []


def register_needing(find: Users) -> None:
    """Have ``find`` name what does not work without the variable, by its kind and name."""
    _needing.append(find)


def register_mentioning(find: Users) -> None:
    """Have ``find`` name what mentions the variable in a text that a person can still change."""
    _mentioning.append(find)


def needing(variable: Variable) -> list[str]:
    """What keeps the variable from being deleted or called otherwise."""
    return [user for find in _needing for user in find(variable)]


def mentioning(variable: Variable) -> list[str]:
    """What will miss the variable, and keeps it from nothing."""
    return [user for find in _mentioning for user in find(variable)]
