"""Every way in which Docker Hub fails, for every call of every operation on a hook."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from codestream.sandbox.dockerhub_failures import Mode


class Meddling(StrEnum):
    """What a person does in Docker Hub meanwhile."""

    REMOVED = "removed"
    DOUBLED = "doubled"
    POINTED_ELSEWHERE = "pointed-elsewhere"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One operation, and what happens to which of its calls; no route: behind our back."""

    operation: str
    route: str
    failure: Mode | Meddling

    def __str__(self) -> str:
        return f"{self.operation} {self.route or 'repository'} {self.failure}"


OF_CREATE_ONLY = {Mode.NAME_TAKEN, Mode.NAME_TAKEN_CONFLICT, Mode.NO_SLUG}
OF_LIST_ONLY = {Mode.LIST_MOVES, Mode.LIST_IS_OLD}
WAYS: dict[str, list[Mode]] = {
    "login": [mode for mode in Mode if mode not in OF_CREATE_ONLY | OF_LIST_ONLY],
    "list": [mode for mode in Mode if mode not in OF_CREATE_ONLY],
    "create": [mode for mode in Mode if mode not in OF_LIST_ONLY],
    "delete": [mode for mode in Mode if mode not in OF_CREATE_ONLY | OF_LIST_ONLY],
}
ROUTES = {
    "create": ("login", "list", "create"),
    "replace": ("list", "create", "delete"),
    "delete": ("list", "delete"),
}
FAILURES = [
    (operation, route, mode)
    for operation, routes in ROUTES.items()
    for route in routes
    for mode in WAYS[route]
]
MATRIX = [
    *(Case(operation=o, route=r, failure=mode) for o, r, mode in FAILURES),
    *(Case(operation=o, route="", failure=how) for o in ROUTES for how in Meddling),
]
