"""Reads Docker Hub's notifications, of every generation since 2014.

Docker Hub sends no signature, no event name and no digest, so the body is all there is; the
receiver has already checked the address it came to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from codestream.core.words import Words, gettext_noop
from webhooks.registries.base import (
    LONGEST,
    ImagePushed,
    Parsed,
    Reason,
    UnreadableError,
    checked_text,
    ignored,
    read_body,
    read_object,
    read_seconds,
    read_text,
)

OFFICIAL_NAMESPACE: Final = "library"


class DockerHub:
    """Docker Hub's reader: the body of its "repository webhooks", JSON or a form's ``payload``.

    Fields: https://docs.docker.com/docker-hub/repos/manage/webhooks/ (``images``,
    ``comment_count`` and the like come in many types and are not read at all).
    """

    name: str = "dockerhub"

    def parse(self, body: bytes, _headers: Mapping[str, str], /) -> tuple[Parsed, ...]:
        """Return the one push, or the reason why there is none; headers tell nothing."""
        try:
            return (self._push(read_body(body)),)
        except UnreadableError as error:
            return (error.refusal,)

    def _push(self, document: Mapping[str, object]) -> ImagePushed:
        event = read_object(document, "push_data")
        about = read_object(document, "repository")
        repository = _read_repository(about)
        return ImagePushed(
            registry=self.name,
            owner=_read(event, "pusher", "owner") or _read(about, "owner", "owner"),
            namespace=repository.namespace,
            repository=repository.name,
            image=repository.image,
            tag=_read_tag(event),
            pushed_at=read_seconds(event.get("pushed_at")),
            callback_url=_read(document, "callback_url", "callback_url"),
            media_type=_read(event, "media_type", "media_type"),
            repo_status=_read(about, "status", "repo_status"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Repository:
    image: str
    namespace: str
    name: str


def _read_repository(about: Mapping[str, object]) -> _Repository:
    namespace = _read(about, "namespace", "namespace")
    name = _read(about, "name", "repository")
    image = _read(about, "repo_name", "image") or "/".join(filter(None, (namespace, name)))
    prefix, _, last = image.rpartition("/")
    if not last.strip():
        raise ignored(
            Reason.NO_REPOSITORY,
            Words(
                gettext_noop(
                    'The notification names no repository ("repository.repo_name" is missing).'
                )
            ),
        )
    if prefix in {"", "_"}:
        prefix = OFFICIAL_NAMESPACE
    return _Repository(
        image=image,
        namespace=namespace or checked_text("repo_name", prefix, longest=LONGEST["namespace"]),
        name=name or checked_text("repo_name", last, longest=LONGEST["repository"]),
    )


def _read_tag(event: Mapping[str, object]) -> str:
    tag = _read(event, "tag", "tag")
    if not tag.strip():
        raise ignored(
            Reason.NO_TAG,
            Words(
                gettext_noop(
                    'The notification names no tag ("push_data.tag" is missing), '
                    "so there is no image to deploy."
                )
            ),
        )
    return tag


def _read(parent: Mapping[str, object], key: str, field: str) -> str:
    return read_text(parent, key, longest=LONGEST[field])
