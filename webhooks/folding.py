"""Says whether a delivery tells of a push that is known already. Pure.

Docker Hub notifies up to six times for one push and names no digest, so the digest that the
registry gives for the tag decides, and where it gives none, the time since the first delivery.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """The push that is current for the tag: what it brought, and the delivery that told of it."""

    digest: str
    received_at: datetime
    pushed_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What a delivery says of its push; ``digest`` is empty where it cannot be had."""

    digest: str
    received_at: datetime
    pushed_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """Whether the delivery means the known push, and why."""

    is_same: bool
    why: str


def meaning_of(delivery: Delivery, known: Known, *, settle: timedelta) -> Meaning:
    """Compare a delivery with the push that is current for its webhook, repository and tag.

    ``settle`` is the time in which deliveries without a digest are taken for one push; with 0
    nothing is folded.
    """
    if not settle:
        return Meaning(is_same=False, why="Folding is off: every delivery is a push of its own.")
    if delivery.digest and known.digest:
        if delivery.digest == known.digest:
            return Meaning(is_same=True, why=f"The tag still stands for {known.digest}.")
        return Meaning(is_same=False, why=f"The tag stood for {known.digest} before.")
    if delivery.pushed_at is not None and delivery.pushed_at == known.pushed_at:
        return Meaning(is_same=True, why="Docker Hub names the same time of the push.")
    seconds = settle.total_seconds()
    if abs(delivery.received_at - known.received_at) < settle:
        return Meaning(is_same=True, why=f"The same tag within {seconds:.0f} s, without a digest.")
    return Meaning(is_same=False, why=f"The same tag came more than {seconds:.0f} s ago.")
