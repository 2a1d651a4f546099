"""What a registry's notification comes to: pushed images, or a refusal in words.

One module per registry turns bytes into these types; whether a push concerns a webhook is
for ``webhooks.matching`` to say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol


class Reason(StrEnum):
    """Why a notification starts nothing, for programs; only ``NOT_JSON`` is the sender's 400."""

    NOT_JSON = "not_json"
    TOO_DEEP = "too_deep"
    WRONG_TYPE = "wrong_type"
    TOO_LONG = "too_long"
    UNSTORABLE_TEXT = "unstorable_text"
    NO_REPOSITORY = "no_repository"
    NO_TAG = "no_tag"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePushed:
    """One tag of one repository that was pushed, in the registry's own words.

    ``image`` is the name as the registry sent it (``acme/storefront``; ``busybox`` for an
    official image, whose ``namespace`` is ``library``). Optional texts are empty when they
    were not sent; ``pushed_at`` is in UTC. No text is longer than ``LONGEST`` allows.
    """

    registry: str
    owner: str
    namespace: str
    repository: str
    image: str
    tag: str
    digest: str = ""
    pushed_at: datetime | None = None
    callback_url: str = ""
    media_type: str = ""
    repo_status: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ignored:
    """A sound notification that names nothing to deploy."""

    reason_code: Reason
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Malformed:
    """A notification that cannot be read, or holds a value that cannot be kept."""

    reason_code: Reason
    reason: str


Parsed = ImagePushed | Ignored | Malformed

LONGEST: Mapping[str, int] = {
    "owner": 255,
    "namespace": 255,
    "repository": 255,
    "image": 512,
    "tag": 128,
    "digest": 255,
    "callback_url": 2048,
    "media_type": 255,
    "repo_status": 64,
}
"""The most characters that each text of an ``ImagePushed`` may have; columns can be as wide."""


class Registry(Protocol):
    """The reader of one registry's notifications."""

    name: str

    def parse(self, body: bytes, headers: Mapping[str, str], /) -> tuple[Parsed, ...]:
        """Return what the notification says, at least one entry; never raises."""
        ...


class UnreadableError(Exception):
    """Carries a refusal out of the depth of a parser; ``Registry.parse`` returns it."""

    def __init__(self, refusal: Ignored | Malformed) -> None:
        super().__init__(refusal.reason)
        self.refusal = refusal


def malformed(reason_code: Reason, reason: str) -> UnreadableError:
    """Return the error that ends the parsing as ``Malformed``."""
    return UnreadableError(Malformed(reason_code=reason_code, reason=reason))


def ignored(reason_code: Reason, reason: str) -> UnreadableError:
    """Return the error that ends the parsing as ``Ignored``."""
    return UnreadableError(Ignored(reason_code=reason_code, reason=reason))


def read_object(parent: Mapping[str, object], key: str) -> Mapping[str, object]:
    """Return the object under ``key``, empty when it is absent or null.

    Raises UnreadableError when something other than an object stands there.
    """
    value = parent.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise malformed(
            Reason.WRONG_TYPE, f'"{key}" holds {_kind(value)} where an object is expected.'
        )
    return value


def read_text(parent: Mapping[str, object], key: str, *, longest: int) -> str:
    """Return the text under ``key``, empty when it is absent or null.

    Raises UnreadableError for another type and for what ``checked_text`` refuses.
    """
    value = parent.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise malformed(Reason.WRONG_TYPE, f'"{key}" holds {_kind(value)} where text is expected.')
    return checked_text(key, value, longest=longest)


def checked_text(key: str, text: str, *, longest: int) -> str:
    """Return ``text``, found under ``key``, when a database can keep it.

    Raises UnreadableError for more than ``longest`` characters, NUL, and half a surrogate pair.
    """
    if len(text) > longest:
        raise malformed(
            Reason.TOO_LONG,
            f'"{key}" has {len(text)} characters; at most {longest} are accepted.',
        )
    if not _is_storable(text):
        raise malformed(
            Reason.UNSTORABLE_TEXT,
            f'"{key}" contains a character that cannot be stored (NUL or half a surrogate pair).',
        )
    return text


def _is_storable(text: str) -> bool:
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def _kind(value: object) -> str:
    match value:
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case list():
            return "a list"
        case _:
            return "an object"
