"""Finds the reader for a registry kind."""

from __future__ import annotations

from webhooks.registries.azure import Azure
from webhooks.registries.base import Registry
from webhooks.registries.distribution import Distribution
from webhooks.registries.dockerhub import DockerHub
from webhooks.registries.dtr import TrustedRegistry
from webhooks.registries.github import GitHub
from webhooks.registries.harbor import Harbor
from webhooks.registries.quay import Quay

_ALL: tuple[Registry, ...] = (
    DockerHub(),
    TrustedRegistry(),
    Distribution(),
    Harbor(),
    GitHub(),
    Quay(),
    Azure(),
)
_READERS = {reader.name: reader for reader in _ALL}


def reader_for(registry_kind: str) -> Registry:
    """Return the reader of this registry's notifications."""
    return _READERS[registry_kind]
