"""Slows down guessing of passwords: five failures for a name from one address, then a rest.

The counts live in Django's cache. They are kept under a digest, so the cache holds no names.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass

from django.core.cache import cache

FAILURES = 5
REST_SECONDS = 15 * 60


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInThrottle:
    """The failed sign-ins of one name from one address."""

    name: str
    address: str

    @property
    def _key(self) -> str:
        seed = f"{self.name.strip().casefold()}\n{self.address}"
        return "sign-in:" + hashlib.sha256(seed.encode()).hexdigest()

    def rests(self) -> bool:
        """Whether the name has to wait, whatever password is sent."""
        return int(cache.get(self._key, 0)) >= FAILURES

    def failed(self) -> None:
        """Count one failure; the rest is counted from the last one."""
        if not cache.add(self._key, 1, REST_SECONDS):
            with suppress(ValueError):  # it expired between the two calls
                cache.incr(self._key)
            cache.touch(self._key, REST_SECONDS)

    def succeeded(self) -> None:
        """Forget the failures."""
        cache.delete(self._key)
