"""Reads the notifications of Harbor: ``PUSH_ARTIFACT``, in its own form or as a CloudEvent.

Contract: https://goharbor.io/docs/latest/working-with-projects/project-configuration/configure-webhooks/
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
    read_seconds,
    read_text,
)

PUSHED = frozenset({"PUSH_ARTIFACT", "pushImage", "harbor.artifact.pushed"})
"""The word of today, of Harbor 1, and of the CloudEvents form."""


class Harbor:
    """Harbor's reader."""

    name: str = "harbor"

    def parse(self, body: bytes, _headers: Mapping[str, str], /) -> tuple[Parsed, ...]:
        """Return every tag that was pushed, or why there is none."""
        return read_notification(body, self._pushes)

    def _pushes(self, document: Mapping[str, object]) -> tuple[Parsed, ...]:
        kind = read_text(document, "type", longest=64)
        if kind not in PUSHED:
            words = gettext_noop('The event is "%(event)s", not PUSH_ARTIFACT.')
            raise ignored(Reason.NO_PUSH, Words(words, {"event": kind}))
        data = read_object(document, "event_data") or read_object(document, "data")
        about = read_object(data, "repository")
        names = (read_text(about, name, longest=LONGEST["image"]) for name in ("namespace", "name"))
        path = read_text(about, "repo_full_name", longest=LONGEST["image"]) or "/".join(names)
        owner = read_text(document, "operator", longest=LONGEST["owner"])
        moment = read_seconds(document.get("occur_at")) or read_moment(document.get("time"))

        def push(resource: Mapping[str, object]) -> ImagePushed:
            return push_of(
                self.name,
                path,
                read_text(resource, "tag", longest=LONGEST["tag"]),
                owner=owner,
                digest=read_text(resource, "digest", longest=LONGEST["digest"]),
                pushed_at=moment,
            )

        return read_entries(read_objects(data, "resources"), push)
