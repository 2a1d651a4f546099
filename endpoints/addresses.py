"""Which repository a Docker Registry endpoint means, from the address that a person pasted."""

from __future__ import annotations

from django.conf import settings

from endpoints.clients.base import Invalid
from endpoints.clients.dockerhub import RepositoryAddress, parse_repository_url

DOCKER_HUB = "https://hub.docker.com"


def repository_address(url: str) -> RepositoryAddress:
    """The origin, namespace and repository behind ``url``.

    Docker Hub's own host names, or none, stand for the setting ``DOCKER_HUB_URL``.
    Raises Invalid with words when no repository can be found in it.
    """
    return parse_repository_url(url, default_base=settings.DOCKER_HUB_URL)


def one_spelling(url: str) -> str:
    """The address of the repository's page, however it was pasted. Raises Invalid with words."""
    return parse_repository_url(url, default_base=DOCKER_HUB).page


def registry_of(url: object) -> str:
    """The origin behind ``url``, empty where it names no repository: where a password goes."""
    try:
        return repository_address(str(url)).base_url
    except Invalid:
        return ""
