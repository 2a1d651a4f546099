"""What a registry's notification comes to: pushed images, or a refusal in words.

One module per registry turns bytes into these types; whether a push concerns a webhook is
for ``webhooks.matching`` to say.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final, Protocol
from urllib.parse import parse_qs

from codestream.core.words import Words, gettext_noop

_FORM_FIELD: Final = "payload"
_JSON: Final = json.JSONDecoder(parse_int=float)
"""As floats, numbers of any length are harmless; an int of 5,000 digits would be refused."""
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
# Later times are not dates of a push, and close to the year 9999 no time zone can show them.
_LATEST: Final = datetime(2100, 1, 1, tzinfo=UTC)


class Reason(StrEnum):
    """Why a notification starts nothing, for programs; only ``NOT_JSON`` is the sender's 400."""

    NOT_JSON = "not_json"
    TOO_DEEP = "too_deep"
    WRONG_TYPE = "wrong_type"
    TOO_LONG = "too_long"
    UNSTORABLE_TEXT = "unstorable_text"
    NO_REPOSITORY = "no_repository"
    NO_TAG = "no_tag"
    NO_PUSH = "no_push"


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
    reason: Words


@dataclass(frozen=True, slots=True, kw_only=True)
class Malformed:
    """A notification that cannot be read, or holds a value that cannot be kept."""

    reason_code: Reason
    reason: Words


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
MOST_ENTRIES = 100
"""The most entries that are read of one notification."""


class Registry(Protocol):
    """The reader of one registry's notifications."""

    name: str

    def parse(self, body: bytes, headers: Mapping[str, str], /) -> tuple[Parsed, ...]:
        """Return what the notification says, at least one entry; never raises."""
        ...


class UnreadableError(Exception):
    """Carries a refusal out of the depth of a parser; ``Registry.parse`` returns it."""

    def __init__(self, refusal: Ignored | Malformed) -> None:
        super().__init__(str(refusal.reason))
        self.refusal = refusal


def malformed(reason_code: Reason, reason: Words) -> UnreadableError:
    """Return the error that ends the parsing as ``Malformed``."""
    return UnreadableError(Malformed(reason_code=reason_code, reason=reason))


def ignored(reason_code: Reason, reason: Words) -> UnreadableError:
    """Return the error that ends the parsing as ``Ignored``."""
    return UnreadableError(Ignored(reason_code=reason_code, reason=reason))


def read_utf8(body: bytes) -> str:
    """Return the body as text. Raises UnreadableError."""
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError:
        words = Words(gettext_noop("The body is not UTF-8 text."))
        raise malformed(Reason.NOT_JSON, words) from None


def read_body(body: bytes) -> Mapping[str, object]:
    """Return the JSON object in the body, or in the field ``payload`` of a form. Raises
    UnreadableError.
    """
    text = read_utf8(body)
    return read_document(_payload_of_form(text) or text)


def _payload_of_form(text: str) -> str:
    """Return the field ``payload`` of a form-encoded body; empty when this is no such body."""
    if not text.startswith(f"{_FORM_FIELD}="):
        return ""
    return "".join(parse_qs(text.partition("&")[0]).get(_FORM_FIELD, ()))


def read_document(text: str) -> Mapping[str, object]:
    """Return the JSON object that the text holds. Raises UnreadableError."""
    try:
        document = _JSON.decode(text)
    except RecursionError:
        words = Words(gettext_noop("The body is nested too deeply to be read."))
        raise malformed(Reason.TOO_DEEP, words) from None
    except json.JSONDecodeError as error:
        words = Words(
            gettext_noop("The body is not JSON (line %(line)s, column %(column)s)."),
            {"line": error.lineno, "column": error.colno},
        )
        raise malformed(Reason.NOT_JSON, words) from None
    if not isinstance(document, dict):
        words = Words(gettext_noop("The body is JSON but not an object that names a repository."))
        raise ignored(Reason.NO_REPOSITORY, words)
    return document


def read_seconds(seconds: object) -> datetime | None:
    """Return the time of ``seconds`` since 1970, or None where that is not a plausible time."""
    if isinstance(seconds, float) and 0 < seconds < (_LATEST - _EPOCH).total_seconds():
        return _EPOCH + timedelta(seconds=seconds)
    return None


def read_moment(text: object) -> datetime | None:
    """Return the time of an ISO 8601 text, or None where that is not a plausible time."""
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    return moment if _EPOCH < moment < _LATEST else None


def read_objects(parent: Mapping[str, object], key: str) -> tuple[Mapping[str, object], ...]:
    """Return the objects of the list under ``key``, empty when it is absent or null.

    Raises UnreadableError when something else stands there, or more than ``MOST_ENTRIES``.
    """
    value = parent.get(key)
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        words = Words(gettext_noop('"%(key)s" is expected to be a list of objects.'), {"key": key})
        raise malformed(Reason.WRONG_TYPE, words)
    if len(value) > MOST_ENTRIES:
        words = Words(
            gettext_noop('"%(key)s" has %(count)s entries; at most %(most)s are read.'),
            {"key": key, "count": len(value), "most": MOST_ENTRIES},
        )
        raise malformed(Reason.TOO_LONG, words)
    return tuple(value)


def push_of(
    registry: str,
    path: str,
    tag: str,
    *,
    owner: str = "",
    digest: str = "",
    media_type: str = "",
    pushed_at: datetime | None = None,
) -> ImagePushed:
    """Return the push to the repository ``path``, which may have any number of parts.

    Raises UnreadableError where the repository or the tag is missing.
    """
    namespace, _, repository = path.strip("/").rpartition("/")
    if not repository:
        words = Words(gettext_noop("The notification names no repository."))
        raise ignored(Reason.NO_REPOSITORY, words)
    if not tag.strip():
        words = Words(
            gettext_noop("The notification names no tag, so there is no image to deploy.")
        )
        raise ignored(Reason.NO_TAG, words)
    return ImagePushed(
        registry=registry,
        owner=owner,
        namespace=checked_text("namespace", namespace, longest=LONGEST["namespace"]),
        repository=checked_text("repository", repository, longest=LONGEST["repository"]),
        image=checked_text("image", path.strip("/"), longest=LONGEST["image"]),
        tag=tag,
        digest=digest,
        media_type=media_type,
        pushed_at=pushed_at,
    )


def read_entries(
    entries: Iterable[Mapping[str, object]], read: Callable[[Mapping[str, object]], ImagePushed]
) -> tuple[Parsed, ...]:
    """Read every entry of an envelope: its pushes, or where there is none, the first refusal."""
    pushes: list[ImagePushed] = []
    refusals: list[Ignored | Malformed] = []
    for entry in entries:
        try:
            pushes.append(read(entry))
        except UnreadableError as error:
            refusals.append(error.refusal)
    words = Words(gettext_noop("The notification tells of no push."))
    nothing = Ignored(reason_code=Reason.NO_PUSH, reason=words)
    return tuple(pushes) or tuple(refusals[:1]) or (nothing,)


def read_notification(
    body: bytes, read: Callable[[Mapping[str, object]], tuple[Parsed, ...]]
) -> tuple[Parsed, ...]:
    """Read the JSON object in the body, or return why that cannot be done."""
    try:
        return read(read_body(body))
    except UnreadableError as error:
        return (error.refusal,)


def read_object(parent: Mapping[str, object], key: str) -> Mapping[str, object]:
    """Return the object under ``key``, empty when it is absent or null.

    Raises UnreadableError when something other than an object stands there.
    """
    value = parent.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        words = gettext_noop('"%(key)s" holds %(kind)s where an object is expected.')
        raise malformed(Reason.WRONG_TYPE, Words(words, {"key": key, "kind": _kind(value)}))
    return value


def read_text(parent: Mapping[str, object], key: str, *, longest: int) -> str:
    """Return the text under ``key``, empty when it is absent or null.

    Raises UnreadableError for another type and for what ``checked_text`` refuses.
    """
    value = parent.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        words = gettext_noop('"%(key)s" holds %(kind)s where text is expected.')
        raise malformed(Reason.WRONG_TYPE, Words(words, {"key": key, "kind": _kind(value)}))
    return checked_text(key, value, longest=longest)


def checked_text(key: str, text: str, *, longest: int) -> str:
    """Return ``text``, found under ``key``, when a database can keep it.

    Raises UnreadableError for more than ``longest`` characters, NUL, and half a surrogate pair.
    """
    if len(text) > longest:
        words = Words(
            gettext_noop('"%(key)s" has %(count)s characters; at most %(most)s are accepted.'),
            {"key": key, "count": len(text), "most": longest},
        )
        raise malformed(Reason.TOO_LONG, words)
    if not _is_storable(text):
        unstorable = gettext_noop(
            '"%(key)s" contains a character that cannot be stored (NUL or half a surrogate pair).'
        )
        raise malformed(Reason.UNSTORABLE_TEXT, Words(unstorable, {"key": key}))
    return text


def _is_storable(text: str) -> bool:
    return "\0" not in text and (text.isascii() or not _SURROGATE.search(text))


def _kind(value: object) -> Words:
    match value:
        case bool():
            return Words(gettext_noop("true or false"))
        case int() | float():
            return Words(gettext_noop("a number"))
        case str():
            return Words(gettext_noop("text"))
        case list():
            return Words(gettext_noop("a list"))
        case _:
            return Words(gettext_noop("an object"))
