"""Reads the notifications of Docker Trusted Registry (Mirantis Secure Registry): ``TAG_PUSH``.

Contract: https://docs.mirantis.com/msr/2.9/ops/manage-webhooks.html
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
    read_moment,
    read_notification,
    read_object,
    read_text,
)


class TrustedRegistry:
    """Docker Trusted Registry's reader."""

    name: str = "dtr"

    def parse(self, body: bytes, _headers: Mapping[str, str], /) -> tuple[Parsed, ...]:
        """Return the tag that was pushed, or why there is none."""
        return read_notification(body, lambda document: (self._push(document),))

    def _push(self, document: Mapping[str, object]) -> ImagePushed:
        kind = read_text(document, "type", longest=64)
        if kind != "TAG_PUSH":
            words = Words(gettext_noop('The event is "%(event)s", not TAG_PUSH.'), {"event": kind})
            raise ignored(Reason.NO_PUSH, words)
        contents = read_object(document, "contents")
        names = (
            read_text(contents, name, longest=LONGEST[name]) for name in ("namespace", "repository")
        )
        return push_of(
            self.name,
            "/".join(names),
            read_text(contents, "tag", longest=LONGEST["tag"]),
            owner=read_text(contents, "author", longest=LONGEST["owner"]),
            digest=read_text(contents, "digest", longest=LONGEST["digest"]),
            pushed_at=read_moment(document.get("createdAt")),
        )
