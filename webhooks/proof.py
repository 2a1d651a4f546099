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

    @property
    def needs_body(self) -> bool:
        """Whether nothing can be said before the body is read."""
        return not self.token and bool(self.signature)


def proof_of(query_token: str, headers: Mapping[str, str]) -> Proof:
    """Collect what the sender shows; the token in the address goes before the header."""
    authorization = headers.get("Authorization", "").strip()
    token = query_token or authorization.rpartition(" ")[2]
    return Proof(token=token, signature=headers.get(SIGNATURE, "").strip())


def is_proven(proof: Proof, secrets: Iterable[str], *, body: bytes = b"") -> bool:
    """Whether one of the secrets fits. Takes the same time wherever a wrong one differs."""
    if proof.token:
        expected, given = [secret.encode() for secret in secrets], proof.token.encode()
    else:
        expected = [_signature(secret, body).encode() for secret in secrets]
        given = proof.signature.encode()
    fits = [hmac.compare_digest(each, given) for each in expected]
    return any(fits)


def _signature(secret: str, body: bytes) -> str:
    return f"sha256={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}"
