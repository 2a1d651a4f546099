"""Hints: "this row wants attention". One may get lost or arrive twice; the row is what counts, and
the sweep of every worker finds what no hint told of.

How a hint travels is for the backend of the tasks API (``settings.TASKS``).
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable

from django.db import transaction
from django_tasks import task

WorkNow = Callable[[str, uuid.UUID], None]
Offer = Callable[[str, uuid.UUID], bool]
logger = logging.getLogger(__name__)
# The worker's ``work_now`` and ``offer`` (``executions.worker``), in a worker's process only.
_work_now: WorkNow | None = None
_offer: Offer | None = None


@task()
def attend(kind: str, key: str, line: str = "") -> None:
    """Do the next step of the row, if it still wants attention; in a worker's process only: by a
    thread of its own, or here while those have enough to do. ``line`` is for the backend: one hint
    for a row is as good as one for another row of the same line.
    """
    pk = uuid.UUID(key)
    if _work_now is not None and not (_offer is not None and _offer(kind, pk)):
        _work_now(kind, pk)


def give(kind: str, pk: uuid.UUID, *, line: str = "") -> None:
    """Give a hint as soon as the transaction is committed."""
    # No partial: it has no name, which Django writes into the log when it fails.
    transaction.on_commit(lambda: _send(kind, pk, line), robust=True)


def work_here(*, work_now: WorkNow, offer: Offer) -> None:
    """Let this process, a worker, take hints: ``offer`` says whether it has a hand free."""
    global _work_now, _offer
    _work_now, _offer = work_now, offer


def stop_here() -> None:
    """Let this process take no more hints."""
    global _work_now, _offer  # noqa: PLW0603
    _work_now = _offer = None


def _send(kind: str, pk: uuid.UUID, line: str) -> None:
    """Do it in this process when it can, else let the backend tell another one."""
    if _offer is None or not _offer(kind, pk):
        attend.enqueue(kind, str(pk), line=line)
