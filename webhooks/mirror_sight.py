"""What a look at Docker Hub's list means for one hook of ours: pure, no I/O.

A hook is ours if it calls our address, which no other hook can know; its name only says whether it
was made here or by a person. One that has our name and calls another address is not ours.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from endpoints.clients.dockerhub import HubWebhook

OWN_NAME = re.compile(r".*-([0-9a-f]{8})-\d+")


class Drift(StrEnum):
    """How the hook in Docker Hub differs from the one that is wanted, behind our back."""

    NONE = ""
    MISSING = "MISSING"
    CHANGED = "CHANGED"
    DOUBLED = "DOUBLED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """``kept`` calls our address, ``extras`` do so as well and made every push arrive twice;
    ``name_is_taken`` when a hook with another address has our name.
    """

    kept: HubWebhook | None
    extras: tuple[HubWebhook, ...]
    name_is_taken: bool
    slug_is_taken: bool

    @property
    def drift(self) -> Drift:
        """What a hook that stood there once has come to."""
        if self.kept is None:
            taken = self.name_is_taken or self.slug_is_taken
            return Drift.CHANGED if taken else Drift.MISSING
        return Drift.DOUBLED if self.extras else Drift.NONE


def see(listed: Iterable[HubWebhook], *, url: str, name: str, slug: str) -> Sight:
    """Look for the hook that calls ``url``; of several the one with our slug or name is kept."""
    hooks = list(listed)
    mine = [hook for hook in hooks if url in hook.hook_urls]
    others = [hook for hook in hooks if url not in hook.hook_urls]
    mine.sort(key=lambda hook: (hook.slug != slug, hook.name != name))
    return Sight(
        kept=mine[0] if mine else None,
        extras=tuple(mine[1:]),
        name_is_taken=any(hook.name == name for hook in others),
        slug_is_taken=any(hook.slug == slug for hook in others),
    )


def is_made_here(hook: HubWebhook, name: str) -> bool:
    """Whether the hook's name is one that we give to hooks of the same webhook as ``name``."""
    theirs, ours = OWN_NAME.fullmatch(hook.name), OWN_NAME.fullmatch(name)
    return theirs is not None and ours is not None and theirs[1] == ours[1]
