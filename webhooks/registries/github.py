"""Reads GitHub's event ``package`` for its container registry (ghcr.io).

The delivery is signed: see ``webhooks.proof``. Contract:
https://docs.github.com/webhooks/webhook-events-and-payloads#package
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


class GitHub:
    """GitHub's reader, of JSON or a form; ``registry_package`` is the older name of the same
    object.
    """

    name: str = "github"

    def parse(self, body: bytes, headers: Mapping[str, str], /) -> tuple[Parsed, ...]:
        """Return the tag that was published, or why there is none."""
        event = headers.get("X-Github-Event") or headers.get("X-GitHub-Event", "")
        return read_notification(body, lambda document: (self._push(document, event),))

    def _push(self, document: Mapping[str, object], event: str) -> ImagePushed:
        package = read_object(document, "package") or read_object(document, "registry_package")
        action = read_text(document, "action", longest=64)
        kind = read_text(package, "package_type", longest=64)
        if action not in {"published", "updated"} or kind.upper() != "CONTAINER":
            words = gettext_noop('The event "%(event)s" publishes no container image.')
            raise ignored(Reason.NO_PUSH, Words(words, {"event": action or event}))
        version = read_object(package, "package_version")
        tag = read_object(read_object(version, "container_metadata"), "tag")
        login = read_text(read_object(package, "owner"), "login", longest=LONGEST["namespace"])
        namespace = read_text(package, "namespace", longest=LONGEST["namespace"]) or login
        name = read_text(package, "name", longest=LONGEST["repository"])
        return push_of(
            self.name,
            f"{namespace}/{name}".lower() if name else "",
            read_text(tag, "name", longest=LONGEST["tag"]),
            owner=read_text(read_object(document, "sender"), "login", longest=LONGEST["owner"])
            or login,
            digest=read_text(tag, "digest", longest=LONGEST["digest"]),
            pushed_at=read_moment(version.get("created_at")),
        )
