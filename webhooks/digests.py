"""Finds the digest of a pushed tag, for the run to be pinned to and for telling pushes apart."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from endpoints.clients.base import ClientError, Unreachable
from endpoints.clients.registry import registry_url
from endpoints.kinds import repository_of, tag_digest
from webhooks.models import DockerWebhook
from webhooks.registries.base import ImagePushed

REST_SECONDS = 30.0
"""How long a registry that did not answer is left alone: pushes shall not wait for it in a row."""
_lock = threading.Lock()
_resting: dict[str, float] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A digest, or an empty one and why."""

    digest: str
    why: str


def find_digest(webhook: DockerWebhook, push: ImagePushed) -> Found:
    """The digest of the pushed tag: from the notification, else asked at the registry.

    Takes a few seconds at most, and never fails: without a digest the run goes on with the tag.
    """
    if push.digest:
        return Found(digest=push.digest, why=f"{push.digest}, as the registry said.")
    if not webhook.pin_digest:
        return Found(digest="", why="Not looked for: this webhook does not pin.")
    registry = registry_url(repository_of(webhook.endpoint).base_url)
    if _rests(registry):
        words = f"{registry} did not answer a moment ago; the run goes on with the tag."
        return Found(digest="", why=words)
    try:
        digest = tag_digest(webhook.endpoint, push.tag)
    except Unreachable as error:
        _let_rest(registry)
        return Found(digest="", why=f"{error.user_message} The run goes on with the tag.")
    except ClientError as error:
        return Found(digest="", why=f"{error.user_message} The run goes on with the tag.")
    return Found(digest=digest, why=f"{digest}, as {registry} says now.")


def forget_silence() -> None:
    """Ask every registry again, whether it answered lately or not."""
    with _lock:
        _resting.clear()


def _rests(registry: str) -> bool:
    with _lock:
        return time.monotonic() < _resting.get(registry, 0.0)


def _let_rest(registry: str) -> None:
    with _lock:
        _resting[registry] = time.monotonic() + REST_SECONDS
