"""What is in a project. The apps above know, and register how to find and to delete it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from codestream.projects.models import Project


def _nothing(project: Project) -> Iterator[str]:
    return iter(())


def _leave(project: Project) -> None:
    """There is nothing to delete."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Belongings:
    """What an app keeps in projects: what has to end before a project does, by its kind and name;
    and how the rest is deleted, which may raise Refused or ProtectedError.
    """

    needing: Callable[[Project], Iterable[str]] = _nothing
    delete: Callable[[Project], None] = _leave


_registered: list[Belongings] = []


def register(belongings: Belongings) -> None:
    """Ask this app too when a project is deleted."""
    _registered.append(belongings)


def needing(project: Project) -> list[str]:
    """What keeps the project from being deleted."""
    return [user for each in _registered for user in each.needing(project)]


def delete_all(project: Project) -> None:
    """Delete what is in the project and has no history of its own."""
    for each in _registered:
        each.delete(project)
