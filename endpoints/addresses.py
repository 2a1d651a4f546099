"""Which repository a Docker Registry endpoint means, from the address that a person pasted."""

from __future__ import annotations

from django.conf import settings

from codestream.core.words import Words, gettext_noop
from endpoints.clients.base import Invalid
from endpoints.clients.repository_address import (
    RepositoryAddress,
    parse_image_name,
    parse_repository_url,
)
from endpoints.server_types import ServerType

DOCKER_HUB = "https://hub.docker.com"
_HOSTS = {
    "ghcr.io": ServerType.GITHUB,
    "quay.io": ServerType.QUAY,
    ".azurecr.io": ServerType.AZURE,
}
NAMESPACED = frozenset({ServerType.DOCKER_HUB, ServerType.TRUSTED_REGISTRY})
"""Where a repository is always namespace/name, and has a page of its own that people paste."""


def repository_address(url: str, server_type: ServerType) -> RepositoryAddress:
    """The origin, namespace and repository behind ``url``.

    Docker Hub's own host names, or none, stand for the setting ``DOCKER_HUB_URL``; other
    registries have to be named. Raises Invalid with words when no repository can be found in it.
    """
    return _parsed(url, server_type, settings.DOCKER_HUB_URL)


def one_spelling(url: str, server_type: ServerType) -> str:
    """The address of the repository, however it was pasted.

    Raises Invalid with words; under the type of Docker Hub also for every other registry.
    """
    address = _parsed(url, server_type, DOCKER_HUB)
    if server_type is ServerType.DOCKER_HUB:
        _expect_docker_hub(address)
    return address.page if server_type in NAMESPACED else f"{address.base_url}/{address}"


def registry_of(url: object, server_type: ServerType) -> str:
    """The origin behind ``url``, empty where it names no repository: where a password goes."""
    try:
        return repository_address(str(url), server_type).base_url
    except Invalid:
        return ""


def _expect_docker_hub(address: RepositoryAddress) -> None:
    known = {DOCKER_HUB, settings.DOCKER_HUB_URL, *settings.DOCKER_HUB_STAND_INS}
    if address.base_url in known:
        return
    right = next((type_ for host, type_ in _HOSTS.items() if address.host.endswith(host)), None)
    if right is None:
        advice = Words(gettext_noop("Choose the server type of that registry."))
    else:
        advice = Words(gettext_noop("Choose the server type %(type)s."), {"type": right.label})
    raise Invalid(
        Words(gettext_noop("%(host)s is not Docker Hub."), {"host": address.host}), advice=advice
    )


def _parsed(url: str, server_type: ServerType, docker_hub: str) -> RepositoryAddress:
    if server_type in NAMESPACED:
        return parse_repository_url(url, default_base=docker_hub)
    return parse_image_name(url)
