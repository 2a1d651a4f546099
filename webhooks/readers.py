"""Finds the reader for a registry, by the server type of an endpoint or by its own name."""

from __future__ import annotations

from collections.abc import Mapping

from endpoints.server_types import ServerType
from webhooks.registries.azure import Azure
from webhooks.registries.base import Registry
from webhooks.registries.distribution import Distribution
from webhooks.registries.dockerhub import DockerHub
from webhooks.registries.dtr import TrustedRegistry
from webhooks.registries.github import GitHub
from webhooks.registries.harbor import Harbor
from webhooks.registries.quay import Quay

_READERS: Mapping[ServerType, Registry] = {
    ServerType.DOCKER_HUB: DockerHub(),
    ServerType.TRUSTED_REGISTRY: TrustedRegistry(),
    ServerType.DISTRIBUTION: Distribution(),
    ServerType.HARBOR: Harbor(),
    ServerType.GITHUB: GitHub(),
    ServerType.QUAY: Quay(),
    ServerType.AZURE: Azure(),
}
_BY_NAME = {reader.name: reader for reader in _READERS.values()}
REGISTRY_NAMES: Mapping[str, str] = {
    reader.name: str(server_type.label) for server_type, reader in _READERS.items()
}
"""What people call the registries, by the names of their readers."""


def reader_for(registry_kind: str) -> Registry:
    """Return the reader of this registry's notifications."""
    return _BY_NAME[registry_kind]


def registry_kind_of(server_type: ServerType) -> str:
    """Return the name of the reader for a registry of this type."""
    return _READERS[server_type].name
