"""The task kinds that can run here. The package that runs them registers them at start."""

from __future__ import annotations

_known: set[str] = set()


def register(kind: str) -> None:
    """Let definitions use this task kind, named as in YAML (``K8S``)."""
    _known.add(kind)


def known() -> frozenset[str]:
    """Return the kinds that can run here."""
    return frozenset(_known)
