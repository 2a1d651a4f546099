"""Says whether a sender knows the secret of a webhook: in the address, in a header, or by having
signed the body with it. Pure.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

SIGNATURE = "X-Hub-Signature-256"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What the sender showed; empty where it showed nothing of the kind.

    ``token`` stands in the address or is what ``Authorization`` holds, with or without a word
    like Bearer before it (Docker Distribution, Harbor). ``signature`` is GitHub's.
    """

    token: str = ""
    signature: str = ""

    @property
    def is_missing(self) -> bool:
        return not self.token and not self.signature


def proof_of(query_token: str, headers: Mapping[str, str]) -> Proof:
    """Collect what the sender shows; the token in the address goes before the header."""
    authorization = headers.get("Authorization", "").strip()
    token = query_token or authorization.rpartition(" ")[2]
    return Proof(token=token, signature=headers.get(SIGNATURE, "").strip())


def is_shown(proof: Proof, secrets: Iterable[str]) -> bool:
    """Whether the token is one of the secrets. Takes the same time wherever a wrong one differs."""
    return _is_any(proof.token, secrets)


def is_signed(proof: Proof, secrets: Iterable[str], body: bytes) -> bool:
    """Whether one of the secrets has signed the body; takes the same time likewise."""
    return _is_any(proof.signature, [_signature(secret, body) for secret in secrets])


def _is_any(given: str, expected: Iterable[str]) -> bool:
    if not given:
        return False
    fits = [hmac.compare_digest(each.encode(), given.encode()) for each in expected]
    return any(fits)


def _signature(secret: str, body: bytes) -> str:
    return f"sha256={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}"
