"""The registries that an endpoint of the type Docker Registry may stand for."""

from __future__ import annotations

from typing import Any

from django.db import models

from endpoints.models import Endpoint


class ServerType(models.TextChoices):
    """Docker Hub, and those that speak the same HTTP API without its web interface.

    The first two are the manual's; all of them are names of products, not translated.
    """

    DOCKER_HUB = "DockerHub", "DockerHub"
    TRUSTED_REGISTRY = "Docker_Trusted_Registry", "Docker Trusted Registry"
    DISTRIBUTION = "Docker_Distribution", "Docker Distribution"
    HARBOR = "Harbor", "Harbor"
    GITHUB = "GitHub_Packages", "GitHub Packages (ghcr.io)"
    QUAY = "Quay", "Quay"
    AZURE = "Azure_Container_Registry", "Azure Container Registry"


_BY_SPELLING = {each.replace("_", "").lower(): each for each in ServerType}


def server_type_named(name: Any) -> ServerType:
    """The server type in any of its spellings; none is Docker Hub, an unknown one is taken for a
    plain registry.
    """
    spelling = str(name or ServerType.DOCKER_HUB).replace("_", "").lower()
    return _BY_SPELLING.get(spelling, ServerType.DISTRIBUTION)


def server_type_of(endpoint: Endpoint) -> ServerType:
    """The server type that the endpoint was saved with."""
    return server_type_named(endpoint.properties.get("serverType"))


def is_docker_hub(endpoint: Endpoint) -> bool:
    """Whether the endpoint is a repository in Docker Hub, where webhooks are kept alike."""
    return server_type_of(endpoint) is ServerType.DOCKER_HUB
