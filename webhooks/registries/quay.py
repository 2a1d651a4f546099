"""Reads the notifications "Push to repository" of Quay: the tags that changed, without digests.

Contract: https://docs.quay.io/guides/notifications.html
"""

from __future__ import annotations

from collections.abc import Mapping

from codestream.core.words import Words, gettext_noop
from webhooks.registries.base import (
    LONGEST,
    MOST_ENTRIES,
    ImagePushed,
    Parsed,
    Reason,
    malformed,
    push_of,
    read_entries,
    read_notification,
    read_text,
)


class Quay:
    """Quay's reader."""

    name: str = "quay"

    def parse(self, body: bytes, _headers: Mapping[str, str], /) -> tuple[Parsed, ...]:
        """Return every tag that was pushed, or why there is none."""
        return read_notification(body, self._pushes)

    def _pushes(self, document: Mapping[str, object]) -> tuple[Parsed, ...]:
        path = read_text(document, "repository", longest=LONGEST["image"])
        tags = document.get("updated_tags")
        names = list(tags) if isinstance(tags, dict) else tags or []
        if not isinstance(names, list) or len(names) > MOST_ENTRIES:
            words = Words(gettext_noop('"updated_tags" is expected to be a list of tags.'))
            raise malformed(Reason.WRONG_TYPE, words)

        def push(entry: Mapping[str, object]) -> ImagePushed:
            return push_of(self.name, path, read_text(entry, "tag", longest=LONGEST["tag"]))

        return read_entries(({"tag": name} for name in names), push)
