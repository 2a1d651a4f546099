"""The accounts of the Docker Hub stand-in: passwords as hashes, the login lock, and tokens."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
import time
from dataclasses import asdict, dataclass, field
from typing import Any

import jwt

TOKEN_SECONDS = 600
LOCK_SECONDS = 600
FAILURES_BEFORE_LOCK = 5
ADMIN_SCOPE = "repo:admin"


@dataclass(slots=True, kw_only=True)
class Account:
    """One account. ``failures`` and ``locked_until`` are the login lock (unix seconds).

    An organisation is one too: its name and an organisation access token sign in.
    """

    username: str
    salt: str
    password_hash: str
    has_second_factor: bool = False
    scope: str = ADMIN_SCOPE
    is_organisation: bool = False
    failures: int = 0
    locked_until: float = 0


@dataclass(slots=True, kw_only=True)
class Accounts:
    """All accounts, and the key that signs their tokens.

    Tokens of an earlier ``generation`` are refused: raising it ends all tokens at once.
    """

    key: str = field(default_factory=lambda: secrets.token_hex(32))
    generation: int = 0
    token_seconds: int = TOKEN_SECONDS
    accounts: dict[str, Account] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @classmethod
    def load(cls, stored: dict[str, Any]) -> Accounts:
        """The accounts that ``stored`` describes, as ``dump`` wrote it."""
        accounts = [Account(**record) for record in stored["accounts"]]
        return cls(
            key=stored["key"],
            generation=stored["generation"],
            accounts={account.username: account for account in accounts},
        )

    def dump(self) -> dict[str, Any]:
        """All of it as JSON values."""
        accounts = [asdict(account) for account in self.accounts.values()]
        return {"key": self.key, "generation": self.generation, "accounts": accounts}

    def add(
        self,
        username: str,
        password: str,
        *,
        has_second_factor: bool = False,
        scope: str = ADMIN_SCOPE,
        is_organisation: bool = False,
    ) -> None:
        """Add an account, or give one a new password."""
        salt = secrets.token_hex(16)
        self.accounts[username] = Account(
            username=username,
            salt=salt,
            password_hash=_hash(password, salt),
            has_second_factor=has_second_factor,
            scope=scope,
            is_organisation=is_organisation,
        )

    def is_locked(self, username: str) -> bool:
        """Whether too many failures keep this name out, with the right password too."""
        account = self.accounts.get(username)
        return account is not None and time.time() < account.locked_until

    def check(self, username: str, password: str) -> Account | None:
        """The account, if the password is its own. A wrong one counts towards the lock."""
        account = self.accounts.get(username)
        if account is None:
            return None
        found = _hash(password, account.salt)
        with self._lock:
            if hmac.compare_digest(found, account.password_hash):
                account.failures = 0
                return account
            account.failures += 1
            if account.failures >= FAILURES_BEFORE_LOCK:
                account.failures = 0
                account.locked_until = time.time() + LOCK_SECONDS
            return None

    def issue_token(self, account: Account) -> str:
        """A signed token for the account."""
        issued = int(time.time())
        claims = {
            "sub": account.username,
            "scope": account.scope,
            "generation": self.generation,
            "jti": secrets.token_hex(8),
            "iat": issued,
            "nbf": issued,
            "exp": issued + self.token_seconds,
        }
        return jwt.encode(claims, self.key, algorithm="HS256")

    def identify(self, header: str) -> Account | None:
        """The account behind an Authorization header of the scheme Bearer or JWT."""
        scheme, _, token = header.partition(" ")
        if scheme.lower() not in ("bearer", "jwt"):
            return None
        try:
            claims = jwt.decode(token.strip(), self.key, algorithms=["HS256"])
        except jwt.InvalidTokenError:
            return None
        if claims.get("generation") != self.generation:
            return None
        return self.accounts.get(claims["sub"])


def _hash(password: str, salt: str) -> str:
    return hashlib.scrypt(
        password.encode(), salt=bytes.fromhex(salt), n=2**12, r=8, p=1, dklen=32
    ).hex()
