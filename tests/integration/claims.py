"""Rows in the hands of a worker that is going to be lost."""

from __future__ import annotations

import uuid

from codestream.core.work import Claim, Claimable, WorkKind, claim, registered
from executions.workers import no_workers


def kind_of(row: Claimable) -> WorkKind:
    """Return the kind of work that such rows are."""
    return next(kind for kind in registered() if kind.model is type(row))


def taken(row: Claimable) -> Claim:
    """Claim the row as a worker that nobody takes for alive."""
    claimed = claim(kind_of(row), row.pk, owner=uuid.uuid4(), alive=no_workers)
    assert claimed is not None
    return claimed
