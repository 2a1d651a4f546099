"""Reads the notifications of Docker Distribution (``docker-registry``, ``registry:2``).

An envelope may hold several events that have nothing to do with each other. Contract:
https://distribution.github.io/distribution/about/notifications/
"""

from __future__ import annotations

from collections.abc import Mapping

from codestream.core.words import Words, gettext_noop
from webhooks.registries.base import (
    LONGEST,
    ImagePushed,
    Parsed,
    Reason,
    ignored,
    push_of,
    read_entries,
    read_moment,
    read_notification,
    read_object,
    read_objects,
    read_text,
)


class Distribution:
    """Docker Distribution's reader."""

    name: str = "distribution"

    def parse(self, body: bytes, _headers: Mapping[str, str], /) -> tuple[Parsed, ...]:
        """Return every tag that the envelope says was pushed, or why there is none."""
        return read_notification(
            body, lambda document: read_entries(read_objects(document, "events"), self._push)
        )

    def _push(self, event: Mapping[str, object]) -> ImagePushed:
        return read_event(self.name, event)


def read_event(registry: str, event: Mapping[str, object]) -> ImagePushed:
    """Return the push that one event tells of. Raises UnreadableError where it is none."""
    action = read_text(event, "action", longest=64)
    if action != "push":
        words = Words(gettext_noop('The event is "%(event)s", not a push.'), {"event": action})
        raise ignored(Reason.NO_PUSH, words)
    target = read_object(event, "target")
    return push_of(
        registry,
        read_text(target, "repository", longest=LONGEST["image"]),
        read_text(target, "tag", longest=LONGEST["tag"]),
        owner=read_text(read_object(event, "actor"), "name", longest=LONGEST["owner"]),
        digest=read_text(target, "digest", longest=LONGEST["digest"]),
        media_type=read_text(target, "mediaType", longest=LONGEST["media_type"]),
        pushed_at=read_moment(event.get("timestamp")),
    )
