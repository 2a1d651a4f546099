"""Where the stand-ins of this data folder listen, and the passwords they know; made once, 0600."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Ports on 127.0.0.1 and the accounts of the demo at the stand-ins."""

    dockerhub_port: int
    kubernetes_port: int
    dockerhub_user: str
    dockerhub_password: str
    kubernetes_token: str

    @property
    def dockerhub_url(self) -> str:
        return f"http://127.0.0.1:{self.dockerhub_port}"

    @property
    def kubernetes_url(self) -> str:
        return f"http://127.0.0.1:{self.kubernetes_port}"


def load_places(data_dir: Path, *, first_port: int) -> Places:
    """Return the places of this data folder; a new one gets ``first_port`` and the next."""
    path = data_dir / "sandbox" / "places.json"
    if not path.exists():
        _write(path, _new(first_port))
    return Places(**json.loads(path.read_text(encoding="utf-8")))


def _new(first_port: int) -> Places:
    return Places(
        dockerhub_port=first_port,
        kubernetes_port=first_port + 1,
        dockerhub_user="demo",
        dockerhub_password=secrets.token_urlsafe(18),
        kubernetes_token=secrets.token_urlsafe(24),
    )


def _write(path: Path, places: Places) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(asdict(places), file, indent=2)
