"""The parameters that a Docker trigger fills in, and the other spellings that count as them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType

DOCKER_PARAMETERS: Mapping[str, str] = MappingProxyType(
    {
        "DOCKER_EVENT_OWNER_NAME": "who pushed the image",
        "DOCKER_IMAGE": "the image as the registry names it, namespace/name",
        "DOCKER_REPO_NAME": "the name of the repository",
        "DOCKER_REPO_NAMESPACE": "the namespace of the repository",
        "DOCKER_TAG": "the tag that was pushed",
    }
)
"""The five injected parameters in the order of the screen, with their meaning."""

DOCKER_ALIASES: Mapping[str, str] = MappingProxyType(
    {
        "DOCKER_EVENT_OWNER_NAME": "owner",
        "DOCKER_EVENT_OWNER": "owner",
        "DOCKER_OWNER_NAME": "owner",
        "DOCKER_OWNER": "owner",
        "DOCKER_PUSHER": "owner",
        "DOCKER_IMAGE": "image",
        "DOCKER_IMAGE_NAME": "image",
        "DOCKER_REPO_NAME": "repo_name",
        "DOCKER_REPOSITORY_NAME": "repo_name",
        "DOCKER_REPO": "repo_name",
        "DOCKER_REPOSITORY": "repo_name",
        "DOCKER_REPO_NAMESPACE": "repo_namespace",
        "DOCKER_REPOSITORY_NAMESPACE": "repo_namespace",
        "DOCKER_NAMESPACE": "repo_namespace",
        "DOCKER_TAG": "tag",
        "DOCKER_TAG_NAME": "tag",
        "DOCKER_IMAGE_TAG": "tag",
        "DOCKER_EVENT_TAG": "tag",
        "DOCKER_DIGEST": "digest",
        "DOCKER_IMAGE_DIGEST": "digest",
        "DOCKER_IMAGE_REFERENCE": "image_reference",
    }
)
"""Which part of a push each name means. Case and underscores do not matter (``dockerTag``).

The original product never published its names; pipelines written for it use several.
"""


def _folded(name: str) -> str:
    return re.sub(r"[_\-\s]", "", name).casefold()


_PARTS = {_folded(alias): part for alias, part in DOCKER_ALIASES.items()}


def is_docker_parameter(name: str) -> bool:
    """Whether an input of this name may hold push data, which is always text."""
    return _folded(name).startswith("docker")


def inject_docker(inputs_declared: Iterable[str], push: Mapping[str, str]) -> dict[str, str]:
    """The declared inputs that a push fills, with their values.

    ``push`` has the keys ``owner image repo_name repo_namespace tag`` and may have ``digest`` and
    ``image_reference``; an input whose part is not in ``push`` is left alone.
    """
    return {
        name: push[part]
        for name in inputs_declared
        if (part := _PARTS.get(_folded(name))) is not None and part in push
    }
