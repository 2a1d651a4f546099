"""The states of executions, stages and tasks, and which may follow which.

One table for all three: an execution uses QUEUED and the pausing states, a task uses STARTED
and FAILED_CONTINUE, a stage mostly mirrors its tasks. Storing a change is for ``executions.run``:
``can_change``, then compare-and-set over the state that was seen before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Status(StrEnum):
    """The eighteen states of the API, in the product's spelling.

    A task is STARTED until the result of a first step is known, RUNNING also while it waits for a
    rollout, and WAITING for a person.
    """

    NOT_STARTED = "NOT_STARTED"
    QUEUED = "QUEUED"
    PREPARING_WORKSPACE = "PREPARING_WORKSPACE"
    STARTED = "STARTED"
    RUNNING = "RUNNING"
    WAITING = "WAITING"
    PAUSING = "PAUSING"
    PAUSED = "PAUSED"
    RESUMING = "RESUMING"
    CANCELING = "CANCELING"
    CANCELED = "CANCELED"
    COMPLETED = "COMPLETED"
    SKIPPED = "SKIPPED"
    FAILED = "FAILED"
    FAILED_CONTINUE = "FAILED_CONTINUE"
    ROLLING_BACK = "ROLLING_BACK"
    ROLLBACK_COMPLETED = "ROLLBACK_COMPLETED"
    ROLLBACK_FAILED = "ROLLBACK_FAILED"


_NOTHING: Final[frozenset[Status]] = frozenset()

TRANSITIONS: Final[Mapping[Status, frozenset[Status]]] = MappingProxyType(
    {
        # Some end without a beginning: an empty stage, a condition that is false or unreadable.
        Status.NOT_STARTED: frozenset(
            {
                Status.STARTED,
                Status.RUNNING,
                Status.COMPLETED,
                Status.SKIPPED,
                Status.FAILED,
                Status.FAILED_CONTINUE,
                Status.CANCELED,
            }
        ),
        Status.QUEUED: frozenset({Status.RUNNING, Status.FAILED, Status.CANCELED}),
        # Nothing enters it: workspaces belong to task kinds that cannot run here.
        Status.PREPARING_WORKSPACE: frozenset({Status.RUNNING, Status.FAILED, Status.CANCELED}),
        Status.STARTED: frozenset(
            {
                Status.RUNNING,
                Status.WAITING,
                Status.CANCELING,
                Status.ROLLING_BACK,
                Status.COMPLETED,
                Status.SKIPPED,
                Status.FAILED,
                Status.FAILED_CONTINUE,
                Status.CANCELED,
            }
        ),
        Status.RUNNING: frozenset(
            {
                Status.WAITING,
                Status.PAUSING,
                Status.PAUSED,
                Status.CANCELING,
                Status.ROLLING_BACK,
                Status.COMPLETED,
                Status.SKIPPED,
                Status.FAILED,
                Status.FAILED_CONTINUE,
                Status.CANCELED,
                Status.ROLLBACK_COMPLETED,
                Status.ROLLBACK_FAILED,
            }
        ),
        Status.WAITING: frozenset(
            {
                Status.RUNNING,
                Status.PAUSING,
                Status.PAUSED,
                Status.RESUMING,
                Status.CANCELING,
                Status.ROLLING_BACK,
                Status.COMPLETED,
                Status.SKIPPED,
                Status.FAILED,
                Status.FAILED_CONTINUE,
                Status.CANCELED,
                Status.ROLLBACK_COMPLETED,
                Status.ROLLBACK_FAILED,
            }
        ),
        Status.PAUSING: frozenset(
            {
                Status.RUNNING,
                Status.WAITING,
                Status.PAUSED,
                Status.CANCELING,
                Status.ROLLING_BACK,
                Status.COMPLETED,
                Status.FAILED,
                Status.CANCELED,
                Status.ROLLBACK_COMPLETED,
                Status.ROLLBACK_FAILED,
            }
        ),
        # A task that waits for a person may end while its execution is paused.
        Status.PAUSED: frozenset(
            {
                Status.RESUMING,
                Status.RUNNING,
                Status.WAITING,
                Status.PAUSING,
                Status.CANCELING,
                Status.ROLLING_BACK,
                Status.COMPLETED,
                Status.FAILED,
                Status.CANCELED,
                Status.ROLLBACK_COMPLETED,
                Status.ROLLBACK_FAILED,
            }
        ),
        Status.RESUMING: frozenset(
            {
                Status.RUNNING,
                Status.WAITING,
                Status.PAUSING,
                Status.PAUSED,
                Status.CANCELING,
                Status.ROLLING_BACK,
                Status.COMPLETED,
                Status.FAILED,
                Status.CANCELED,
                Status.ROLLBACK_COMPLETED,
                Status.ROLLBACK_FAILED,
            }
        ),
        # What was asked to stop may still end in its own way; of a whole a rollback may be left.
        Status.CANCELING: frozenset(
            {
                Status.ROLLING_BACK,
                Status.CANCELED,
                Status.COMPLETED,
                Status.FAILED,
                Status.FAILED_CONTINUE,
                Status.ROLLBACK_COMPLETED,
                Status.ROLLBACK_FAILED,
            }
        ),
        # Nothing else of it lives, so it ends by what became of its parts. That it may go on with
        # others is for rows of before that was so (docs/decisions/0012).
        Status.ROLLING_BACK: frozenset(
            {
                Status.RUNNING,
                Status.WAITING,
                Status.PAUSING,
                Status.PAUSED,
                Status.CANCELING,
                Status.FAILED,
                Status.CANCELED,
                Status.ROLLBACK_COMPLETED,
                Status.ROLLBACK_FAILED,
            }
        ),
        Status.COMPLETED: _NOTHING,
        Status.SKIPPED: _NOTHING,
        Status.FAILED: _NOTHING,
        Status.FAILED_CONTINUE: _NOTHING,
        Status.CANCELED: _NOTHING,
        Status.ROLLBACK_COMPLETED: _NOTHING,
        Status.ROLLBACK_FAILED: _NOTHING,
    }
)
"""Every change that can happen; what is not listed cannot."""

TERMINAL: Final = frozenset(status for status, targets in TRANSITIONS.items() if not targets)
"""The states without a way out."""

BLOCKING: Final = frozenset(
    {Status.FAILED, Status.CANCELED, Status.ROLLBACK_COMPLETED, Status.ROLLBACK_FAILED}
)
"""The ends after which nothing later starts."""

PASSED: Final = TERMINAL - BLOCKING
"""The ends after which what comes later may start."""

_LOUDEST: Final = (Status.CANCELING, Status.WAITING)
_WORST: Final = (
    Status.CANCELED,
    Status.ROLLBACK_FAILED,
    Status.FAILED,
    Status.ROLLBACK_COMPLETED,
)


def can_change(current: Status, target: Status) -> bool:
    """Return whether ``target`` may follow ``current``."""
    return target in TRANSITIONS[current]


def roll_up(statuses: Iterable[Status]) -> Status:
    """Return the state of the whole whose parts, run one after another, have ``statuses``.

    While a part is alive the whole is alive: the first of ``_LOUDEST`` that is there, else
    RUNNING; ROLLING_BACK when nothing else lives. Then the worst end counts, which may leave later
    parts NOT_STARTED; between two parts the whole is RUNNING. No parts at all are COMPLETED, parts
    that were all skipped SKIPPED.
    """
    present = frozenset(statuses)
    if alive := present - TERMINAL - {Status.NOT_STARTED}:
        if alive == {Status.ROLLING_BACK}:
            return Status.ROLLING_BACK
        return next((status for status in _LOUDEST if status in alive), Status.RUNNING)
    if present & BLOCKING:
        return next(status for status in _WORST if status in present)
    if Status.NOT_STARTED in present:
        return Status.NOT_STARTED if len(present) == 1 else Status.RUNNING
    return Status.SKIPPED if present == {Status.SKIPPED} else Status.COMPLETED
