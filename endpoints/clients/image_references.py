"""Reads references to images, as ``docker push`` takes them, and says when two names mean one
repository. Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from codestream.core.words import Words, gettext_noop
from endpoints.clients.base import Invalid
from endpoints.clients.repository_address import REPOSITORY_PART

DOCKER_HUB = "docker.io"
DOCKER_HUB_NAMES = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})
LATEST = "latest"
LONGEST = 255
_REFERENCE = re.compile(
    r"(?P<name>[^:@]+)(?::(?P<tag>\w[\w.-]{0,127}))?(?:@(?P<digest>[a-z0-9+._-]+:[0-9a-f]{32,128}))?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageReference:
    """One tag of one repository. ``registry`` is the host with its port, ``docker.io`` for Docker
    Hub; ``repository`` is spelled as ``canonical_name`` does; ``digest`` is empty where it is not
    known.
    """

    registry: str
    repository: str
    tag: str
    digest: str = ""

    def __str__(self) -> str:
        host = "" if self.registry == DOCKER_HUB else f"{self.registry}/"
        return f"{host}{self.repository}:{self.tag}"


def parse_image_reference(text: str) -> ImageReference:
    """Return what ``[host[:port]/]repository[:tag][@digest]`` means; without a tag ``latest``.

    Raises Invalid with words.
    """
    host, name = split_host(text)
    found = _REFERENCE.fullmatch(name)
    parts = found["name"].split("/") if found else []
    if found is None or len(text) > LONGEST or not all(map(REPOSITORY_PART.fullmatch, parts)):
        words = gettext_noop("%(text)s cannot be the name of an image with its tag.")
        raise Invalid(Words(words, {"text": repr(text[:80])}), advice="")
    return ImageReference(
        registry=host.lower(),
        repository=canonical_name(found["name"]),
        tag=found["tag"] or LATEST,
        digest=found["digest"] or "",
    )


def split_host(name: str) -> tuple[str, str]:
    """Return the host of the registry, ``docker.io`` where none is named, and the rest."""
    first, slash, rest = name.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return DOCKER_HUB if first in DOCKER_HUB_NAMES else first, rest
    return DOCKER_HUB, name


def canonical_name(repository: str) -> str:
    """Return the name under which official images are equal however they are spelled.

    They were sent as ``_/nginx`` in 2013 and as ``nginx`` since; people also write
    ``library/nginx``.
    """
    return repository.casefold().removeprefix("_/").removeprefix("library/")
