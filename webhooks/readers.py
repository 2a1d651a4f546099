"""Finds the reader for a registry kind."""

from __future__ import annotations

from webhooks.registries.base import Registry
from webhooks.registries.dockerhub import DockerHub

_READERS: dict[str, Registry] = {"dockerhub": DockerHub()}


def reader_for(registry_kind: str) -> Registry:
    """Return the reader of this registry's notifications."""
    return _READERS[registry_kind]
