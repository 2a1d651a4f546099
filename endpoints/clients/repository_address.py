"""Reads which repository of which registry a pasted address means. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import SplitResult, unquote, urlsplit

from codestream.core.words import Words, gettext_noop
from endpoints.clients.base import Invalid

DOCKER_HUB_HOSTS = frozenset(
    {
        "hub.docker.com",
        "docker.io",
        "www.docker.io",
        "app.docker.com",
        "cloud.docker.com",
        "index.docker.io",
        "registry-1.docker.io",
        "registry.hub.docker.com",
    }
)
# Their addresses are image references: a single name is an official image.
IMAGE_HOSTS = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})
PAGE_HOSTS = DOCKER_HUB_HOSTS - IMAGE_HOSTS
# What Docker's pages and routes put before the two names, longest first; * is any segment.
_PREFIXES: tuple[tuple[str, ...], ...] = (
    ("repository", "registry-1.docker.io"),
    ("repository", "docker"),
    ("v2", "repositories"),
    ("v2", "namespaces"),
    ("app", "docker", "repository", "docker"),
    ("u", "*", "repository", "docker"),
    ("repository",),
    ("repositories",),
    ("layers",),
    ("r",),
    ("u",),
    ("v2",),
)
# These stand before two names; where only one follows, no repository is named.
_PAGES = frozenset({"r", "u", "repository", "repositories", "layers", "orgs", "v2"})
# What people copy with the name: the command beside it on the page, and the prompt before that.
_COMMAND = re.compile(r"\A(?:\$\s+)?docker\s+(?:image\s+)?(?:pull|push)\s+(?:(?:-a|-q|--\S+)\s+)*")
_NAMESPACE = re.compile(r"[a-z0-9](?:[a-z0-9_.-]*[a-z0-9])?")
REPOSITORY_PART = re.compile(r"[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*")
_NO_NAMESPACE = gettext_noop("%(name)s cannot be the name of a namespace in Docker Hub.")
_NO_REPOSITORY = gettext_noop("%(name)s cannot be the name of a repository in Docker Hub.")
_EXAMPLE = gettext_noop("Write it like https://hub.docker.com/r/namespace/repository.")
_OTHER_EXAMPLE = gettext_noop("Write it like registry.example.com:5000/team/app.")


@dataclass(frozen=True, slots=True, kw_only=True)
class RepositoryAddress:
    """A repository at one registry. ``base_url`` is an origin without a final slash.

    ``namespace`` is all that stands before the last part of the name; Docker Hub's is one part,
    others have any number, also none.
    """

    base_url: str
    namespace: str
    repository: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.repository}".removeprefix("/")

    @property
    def host(self) -> str:
        """What stands before the name in a reference to an image: the host, with its port."""
        return urlsplit(self.base_url).netloc

    @property
    def page(self) -> str:
        """The address of its page: one spelling for all."""
        return f"{self.base_url}/r/{self}"


def parse_repository_url(text: str, *, default_base: str) -> RepositoryAddress:
    """The repository that ``text`` names, in any spelling that people paste.

    Docker Hub's own host names, or none, stand for ``default_base``; any other origin is the base
    itself. Tags, digests, the tabs of a page and a ``docker pull`` before it are ignored. Raises
    Invalid with words.
    """
    parts = _split(_COMMAND.sub("", text.strip(), count=1))
    names = [unquote(segment) for segment in parts.path.split("/") if segment]
    namespace, repository = _names(names, parts.hostname or "")
    _check(namespace, _NAMESPACE, _NO_NAMESPACE)
    _check(repository, REPOSITORY_PART, _NO_REPOSITORY)
    return RepositoryAddress(
        base_url=_hub_base(parts, default_base), namespace=namespace, repository=repository
    )


def parse_image_name(text: str) -> RepositoryAddress:
    """The repository that ``text`` names at a registry other than Docker Hub: its host, then any
    number of parts; without a scheme it is asked by https.

    A tag, a digest and a ``docker pull`` before it are ignored. Raises Invalid with words.
    """
    parts = _split(_COMMAND.sub("", text.strip(), count=1))
    if not parts.hostname:
        words = gettext_noop("The address does not name the host of the registry.")
        raise Invalid(words, advice=_OTHER_EXAMPLE)
    path = unquote(parts.path).strip("/").lower().partition("@")[0]
    # Only the last part has a tag behind it: the port is no longer there.
    names = path.partition(":")[0].split("/")
    if not all(REPOSITORY_PART.fullmatch(name) for name in names):
        message = Words(
            gettext_noop("%(name)s cannot be the name of a repository."), {"name": repr(path[:60])}
        )
        raise Invalid(message, advice=_OTHER_EXAMPLE)
    return RepositoryAddress(
        base_url=_base(parts), namespace="/".join(names[:-1]), repository=names[-1]
    )


def _split(text: str) -> SplitResult:
    """The parts of the address; without a scheme the first segment may still be a host."""
    if "://" not in text:
        first = text.split("/", 1)[0]
        is_host = "/" in text and (first == "localhost" or "." in first or ":" in first)
        text = f"https://{text}" if is_host else f"//{'/' + text.lstrip('/')}"
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise Invalid(
            gettext_noop("The repository address has an impossible host or port.")
        ) from error
    if parts.scheme not in ("", "http", "https") or port == 0:
        raise Invalid(gettext_noop("The repository address must begin with http:// or https://."))
    if "@" in parts.netloc:
        raise Invalid(
            gettext_noop("The repository address must not hold a user name or password."),
            advice=gettext_noop("Write them into the fields of their own."),
        )
    return parts


def _hub_base(parts: SplitResult, default_base: str) -> str:
    host = (parts.hostname or "").removesuffix(".")
    return default_base.rstrip("/") if not host or host in DOCKER_HUB_HOSTS else _base(parts)


def _base(parts: SplitResult) -> str:
    host = (parts.hostname or "").removesuffix(".")
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}" + (f":{parts.port}" if parts.port else "")


def _names(segments: Sequence[str], host: str) -> tuple[str, str]:
    """The namespace and the repository among the segments of the path."""
    if segments[:1] == ["_"]:
        segments = ["library", *segments[1:]]
    elif host in IMAGE_HOSTS and len(segments) == 1:
        segments = ["library", *segments]
    elif host:
        segments = _without_prefix(segments, is_hub=host in PAGE_HOSTS)
    if len(segments) < 2:
        raise Invalid(gettext_noop("The address names no repository."), advice=_EXAMPLE)
    repository = re.split("[@:]", segments[1], maxsplit=1)[0]
    return segments[0].lower(), repository.lower()


def _without_prefix(segments: Sequence[str], *, is_hub: bool) -> list[str]:
    for prefix in _PREFIXES:
        length = len(prefix)
        if _begins_with(segments, prefix) and len(segments) >= length + 2:
            rest = list(segments[length:])
            # The newer routes say /v2/namespaces/{namespace}/repositories/{repository}.
            is_newer_route = prefix[-1] == "namespaces" and rest[1] == "repositories"
            return [rest[0], *rest[2:]] if is_newer_route else rest
    return [] if is_hub and segments and segments[0].lower() in _PAGES else list(segments)


def _begins_with(segments: Sequence[str], prefix: Sequence[str]) -> bool:
    """However the segments are written: people type addresses in capitals too."""
    return len(segments) >= len(prefix) and all(
        wanted in ("*", segment.lower()) for wanted, segment in zip(prefix, segments, strict=False)
    )


def _check(name: str, shape: re.Pattern[str], problem: str) -> None:
    if not shape.fullmatch(name):
        raise Invalid(Words(problem, {"name": repr(name[:60])}), advice=_EXAMPLE)
