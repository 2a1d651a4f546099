"""Which repository a Docker Registry endpoint means, from the address that a person pasted."""

from __future__ import annotations

from django.conf import settings

from endpoints.clients.base import Invalid
from endpoints.clients.repository_address import (
    RepositoryAddress,
    parse_image_name,
    parse_repository_url,
)
from endpoints.server_types import ServerType

DOCKER_HUB = "https://hub.docker.com"
NAMESPACED = frozenset({ServerType.DOCKER_HUB, ServerType.TRUSTED_REGISTRY})
"""Where a repository is always namespace/name, and has a page of its own that people paste."""


def repository_address(url: str, server_type: ServerType) -> RepositoryAddress:
    """The origin, namespace and repository behind ``url``.

    Docker Hub's own host names, or none, stand for the setting ``DOCKER_HUB_URL``; other
    registries have to be named. Raises Invalid with words when no repository can be found in it.
    """
    return _parsed(url, server_type, settings.DOCKER_HUB_URL)


def one_spelling(url: str, server_type: ServerType) -> str:
    """The address of the repository, however it was pasted. Raises Invalid with words."""
    address = _parsed(url, server_type, DOCKER_HUB)
    return address.page if server_type in NAMESPACED else f"{address.base_url}/{address}"


def registry_of(url: object, server_type: ServerType) -> str:
    """The origin behind ``url``, empty where it names no repository: where a password goes."""
    try:
        return repository_address(str(url), server_type).base_url
    except Invalid:
        return ""


def _parsed(url: str, server_type: ServerType, docker_hub: str) -> RepositoryAddress:
    if server_type in NAMESPACED:
        return parse_repository_url(url, default_base=docker_hub)
    return parse_image_name(url)
