"""The task kinds that can run, by their name in definitions."""

from __future__ import annotations

from executions.runners.base import Runner

_runners: dict[str, Runner] = {}


def register(kind: str, runner: Runner) -> None:
    """Let tasks of this kind run."""
    _runners[kind] = runner


def runner_for(kind: str) -> Runner:
    """Return the runner of a task kind that is registered."""
    return _runners[kind]
