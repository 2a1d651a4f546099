"""Finds the digest of a pushed tag, for the run to be pinned to and for telling pushes apart."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from datetime import datetime, timedelta

from codestream.core.clock import now
from codestream.core.errors import CodeStreamError
from codestream.core.words import Words, gettext_noop
from endpoints.clients.base import Unreachable
from endpoints.clients.docker_registry import registry_url
from endpoints.kinds import docker_registry, repository_of
from webhooks.models import DockerWebhook
from webhooks.registries.base import ImagePushed

ASK_SECONDS = 3.0
"""How long a run waits for the digest of its image."""
REST_SECONDS = 30.0
"""How long a registry that did not answer is left alone: pushes shall not wait for it in a row."""
CLOCKS_APART = timedelta(seconds=1)
"""How far the clocks of two machines may be apart."""
MOST_KEPT = 1000
Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A digest, or an empty one and why."""

    digest: str
    why: Words


class _Memory:
    """What this process heard from registries lately."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._resting: dict[str, float] = {}
        self._answers: dict[Key, tuple[datetime, Found]] = {}

    def rests(self, registry: str) -> bool:
        """Whether the registry was silent a moment ago."""
        with self._lock:
            return time.monotonic() < self._resting.get(registry, 0.0)

    def let_rest(self, registry: str) -> None:
        """Note that the registry was silent."""
        with self._lock:
            self._resting[registry] = time.monotonic() + REST_SECONDS

    def answer(self, key: Key, received_at: datetime) -> Found | None:
        """What was said of the tag, if it was asked for after the delivery had come."""
        with self._lock:
            asked_at, found = self._answers.get(key, (received_at, None))
        return found if asked_at > received_at + CLOCKS_APART else None

    def keep(self, key: Key, asked_at: datetime, found: Found) -> None:
        """Keep what was said; the oldest answers go."""
        with self._lock:
            self._answers.pop(key, None)
            self._answers[key] = (asked_at, found)
            while len(self._answers) > MOST_KEPT:
                del self._answers[next(iter(self._answers))]

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._resting.clear()
            self._answers.clear()


_memory = _Memory()


def find_digest(webhook: DockerWebhook, push: ImagePushed, *, received_at: datetime) -> Found:
    """The digest of the pushed tag: from the notification, else asked at the registry.

    One answer serves all deliveries of the tag that had come before the question: a burst of them
    asks once. Takes a few seconds at most, and never fails: without a digest the run goes on with
    the tag.
    """
    if push.digest:
        words = Words(gettext_noop("%(digest)s, as the registry said."), {"digest": push.digest})
        return Found(digest=push.digest, why=words)
    if not webhook.pin_digest:
        words = Words(gettext_noop("Not looked for: this webhook does not pin."))
        return Found(digest="", why=words)
    registry = registry_url(repository_of(webhook.endpoint).base_url)
    if _memory.rests(registry):
        silent = gettext_noop(
            "%(registry)s did not answer a moment ago; the run goes on with the tag."
        )
        return Found(digest="", why=Words(silent, {"registry": registry}))
    # Two endpoints may ask with different rights.
    key, asked_at = (str(webhook.endpoint_id), push.image, push.tag), now()
    found = _memory.answer(key, received_at)
    if found is None:
        found = _ask(webhook, push, registry)
        _memory.keep(key, asked_at, found)
    return found


def _ask(webhook: DockerWebhook, push: ImagePushed, registry: str) -> Found:
    place = repository_of(webhook.endpoint)
    try:
        with docker_registry(webhook.endpoint, seconds=ASK_SECONDS) as client:
            digest = client.tag_digest(place.namespace, place.repository, push.tag)
    except CodeStreamError as error:
        if isinstance(error, Unreachable):
            _memory.let_rest(registry)
        words = gettext_noop("%(problem)s The run goes on with the tag.")
        return Found(digest="", why=Words(words, {"problem": error.words}))
    words = gettext_noop("%(digest)s, as %(registry)s says now.")
    return Found(digest=digest, why=Words(words, {"digest": digest, "registry": registry}))


def forget() -> None:
    """Ask every registry anew."""
    _memory.clear()
