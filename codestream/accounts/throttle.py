"""Slows down guessing of passwords, counted per account and address in the database: one process
knows what the others have seen. Keys are digests, so no names are kept.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from codestream.accounts.models import PasswordTry
from codestream.core.clock import now

FAILURES = 5
REST = timedelta(minutes=15)
TOKENS_A_MINUTE = 5
MINUTE = timedelta(minutes=1)
KEPT = 2 * REST


class Purpose(StrEnum):
    """What a password is given for. Each is counted apart: who fails in a dialog for somebody
    else's account does not keep its owner from signing in.
    """

    SIGN_IN = "sign-in"
    TOKEN = "token-password"  # noqa: S105


@dataclass(frozen=True, slots=True, kw_only=True)
class PasswordThrottle:
    """The wrong passwords for one purpose, account and address: after five of them it rests."""

    purpose: Purpose
    account: str
    address: str

    def rests(self) -> bool:
        """Whether the account has to wait, whatever password is sent."""
        last = _newest(self._key, FAILURES)
        if len(last) < FAILURES:
            return False
        return last[0] - last[-1] < REST and now() - last[0] < REST

    def failed(self) -> None:
        """Count one failure; the rest is counted from the last one."""
        _add(self._key)

    def succeeded(self) -> None:
        """Forget the failures."""
        PasswordTry.objects.filter(key=self._key).delete()

    @property
    def _key(self) -> str:
        return _digest(self.purpose, self.account, self.address)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenThrottle:
    """The tries to get a token of one account by its password, from one address."""

    account: str
    address: str

    def count(self) -> int:
        """Count a try; return 0, or in how many seconds there is room for it.

        Written first and counted then: of many tries at once, none too many gets through.
        """
        key = _digest("token", self.account, self.address)
        this = _add(key)
        others = PasswordTry.objects.filter(key=key, at__gt=this.at - MINUTE).exclude(pk=this.pk)
        recent = list(others.order_by("-at").values_list("at", flat=True)[:TOKENS_A_MINUTE])
        if len(recent) < TOKENS_A_MINUTE:
            return 0
        this.delete()
        return max(1, math.ceil((recent[-1] + MINUTE - now()).total_seconds()))


def _add(key: str) -> PasswordTry:
    moment = now()
    PasswordTry.objects.filter(at__lt=moment - KEPT).delete()
    return PasswordTry.objects.create(key=key, at=moment)


def _newest(key: str, number: int) -> list[datetime]:
    tries = PasswordTry.objects.filter(key=key).order_by("-at", "-pk")
    return list(tries.values_list("at", flat=True)[:number])


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
