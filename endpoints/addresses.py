"""Which repository a Docker Registry endpoint means, from the address that a person pasted."""

from __future__ import annotations

from django.conf import settings

from endpoints.clients.dockerhub import RepositoryAddress, parse_repository_url


def repository_address(url: str) -> RepositoryAddress:
    """The origin, namespace and repository behind ``url``.

    Docker Hub's own host names, or none, stand for the setting ``DOCKER_HUB_URL``.
    Raises Invalid with words when no repository can be found in it.
    """
    return parse_repository_url(url, default_base=settings.DOCKER_HUB_URL)
