"""How hints travel from one process to another: one backend of the tasks API a module.

Besides what the API asks for, a backend tells a worker how to hear the hints. A backend whose own
workers call the task ``hints.attend`` (Celery, say) needs nothing but ``enqueue``.
"""

from __future__ import annotations

import threading
from functools import lru_cache
from typing import Any, Protocol, cast

from django_tasks import TaskResult, TaskResultStatus, default_task_backend
from django_tasks.backends.base import BaseTaskBackend
from django_tasks.base import Task

NO_ID = "hint"
"""Nobody can ask what became of a hint."""


class Waiting(Protocol):
    """Sleeps until a hint came or ``seconds`` are over. ``idle``: this worker has nothing to do,
    so a quick answer matters most.
    """

    def __call__(self, seconds: float, *, idle: bool) -> None: ...


class Carrier(BaseTaskBackend):
    """A backend of the tasks API that carries hints and keeps no results."""

    def enqueue(self, task: Any, args: Any, kwargs: Any) -> TaskResult[Any]:
        """Send the hint. Never raises for a system that is away: a hint may get lost."""
        self.send(task, args, line=(kwargs or {}).get("line", ""))
        return _sent(self.alias, task)

    def send(self, task: Task[Any, Any], args: Any, *, line: str = "") -> None:
        """Let some worker call ``task`` with ``args``; of those with the same ``line``, which come
        together, one is enough.
        """
        raise NotImplementedError

    def listen(self, stopping: threading.Event, *, threads: int) -> Waiting:
        """Begin to hear hints in this worker; return how its loop waits between sweeps."""

        def wait(seconds: float, *, idle: bool) -> None:
            stopping.wait(seconds)

        return wait


def carrier() -> Carrier:
    """Return the backend that the settings name."""
    return cast(Carrier, default_task_backend)


@lru_cache(maxsize=16)
def _sent(alias: str, task: Task[Any, Any]) -> TaskResult[Any]:
    """The same for every hint of the task: nobody asks for it, and to make one takes longer than to
    send the hint.
    """
    return TaskResult(
        task=task,
        id=NO_ID,
        status=TaskResultStatus.READY,
        enqueued_at=None,
        started_at=None,
        last_attempted_at=None,
        finished_at=None,
        args=[],
        kwargs={},
        backend=alias,
        errors=[],
        worker_ids=[],
    )
