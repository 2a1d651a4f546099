"""Says whether a delivery tells of a push that is known already. Pure.

Docker Hub notifies up to six times for one push and names no digest, so the digest that the
registry gives for the tag decides, and where it gives none, the time since the first delivery.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from codestream.core.words import Words, gettext_noop

BURST = timedelta(seconds=10)
"""A registry that notifies several times for one push has done so after this time."""


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
    why: Words


def meaning_of(delivery: Delivery, known: Known, *, settle: timedelta) -> Meaning:
    """Compare a delivery with the push that is current for its webhook, repository and tag.

    ``settle`` is the time in which deliveries without a digest are taken for one push; with 0
    nothing is folded.
    """
    if not settle:
        words = Words(gettext_noop("Folding is off: every delivery is a push of its own."))
        return Meaning(is_same=False, why=words)
    if delivery.digest and known.digest:
        digest = {"digest": known.digest}
        if delivery.digest == known.digest:
            words = Words(gettext_noop("The tag still stands for %(digest)s."), digest)
            return Meaning(is_same=True, why=words)
        words = Words(gettext_noop("The tag stood for %(digest)s before."), digest)
        return Meaning(is_same=False, why=words)
    if delivery.pushed_at is not None and delivery.pushed_at == known.pushed_at:
        words = Words(gettext_noop("Docker Hub names the same time of the push."))
        return Meaning(is_same=True, why=words)
    window = {"seconds": f"{settle.total_seconds():.0f}"}
    if abs(delivery.received_at - known.received_at) < settle:
        words = Words(gettext_noop("The same tag within %(seconds)s s, without a digest."), window)
        return Meaning(is_same=True, why=words)
    words = Words(gettext_noop("The same tag came more than %(seconds)s s ago."), window)
    return Meaning(is_same=False, why=words)


def is_one_burst(delivery: Delivery, known: Known) -> bool:
    """Whether both may tell of one push, where folding is off and yet only one is meant."""
    differs = bool(delivery.digest and known.digest) and delivery.digest != known.digest
    return not differs and abs(delivery.received_at - known.received_at) < BURST
