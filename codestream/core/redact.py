"""The one place that hides secrets, before anything is logged, stored, shown or answered.

Secrets that the caller knows are found in every usual spelling; those it does not know are found
by the company they keep. Pure: standard library only.
"""

from __future__ import annotations

import base64
import json
import logging
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from urllib.parse import quote, quote_plus

from codestream.core.json_types import Json
from codestream.core.words import Value, Words

MASK = "********"
SECRET_FIELDS = frozenset({"data", "stringdata"})
"""The fields of a Secret that hold its values, in lower case: a typo gives nothing away."""
SHORTEST = 4
"""Secrets shorter than this are not searched for: hiding them would only shred the text."""

# Each pattern keeps what stands before the secret (its first group) and masks the rest. It is only
# looked for in a text that has its mark, in small letters, which is quickly seen.
_TELLING = tuple(
    (mark, re.compile(pattern, re.IGNORECASE))
    for mark, pattern in (
        ("secure", r"(\bsecure_?token[\"']?(?:=|%3D|\s*:\s*)[\"']?)[^\s&\"'<>,;#]+"),
        (
            "authorization",
            r"(\bauthorization[\"']?\s*[:=]\s*[\"']?)(?:[a-z-]+\s+)?[^\s\"',;]+",
        ),
        ("bearer", r"(\bbearer\s+)[\w.~+/=-]{8,}"),
        ("basic", r"(\bbasic\s+)[\w.~+/=-]{8,}"),
        # A line that is no HTTP may hold a secret anywhere; gunicorn tells it.
        ("invalid request from", r"(\bInvalid request from ip=\S+ )[^\n]+"),
        (
            "webhook",
            r"(/registry-webhook[a-z-]*/[0-9a-f-]{30,36}[/;&=%])(?!quot;)[^\s\"'?\\)]+",
        ),
        ("@", r"(\b[a-z][a-z0-9+.-]*://)[^\s/?#@\"'<>]+(?=@)"),
        ("dckr_", r"(\bdckr_(?:pat|oat)_)[\w-]+"),
        ("cs_", r"(\bcs_)[A-Za-z0-9_-]{16,}"),
        # PostgreSQL tells the whole row that a constraint has refused.
        ("failing row", r"(\bFailing row contains )(?s:\(.*?\))(?=\.?(?:\n|\Z))"),
    )
)
_TELLING_IN_BODIES = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"(\"[\w-]*(?:password|passwd|secret|token|api[_-]?key|signature)\"\s*:\s*\")(?:[^\"\\]|\\.)+",
        r"(/hook\\?/)[\w-]{8,}",
    )
)
"""Fields with credentials; the token in Docker Hub's ``callback_url``."""
_TELLING_HEADER = re.compile(
    r"\bauth\b|authorization|cookie|token|secret|signature|password|api-?key", re.IGNORECASE
)


def redact_text(text: str, secrets: Iterable[str] = ()) -> str:
    """``text`` with the given secrets, and everything that looks like one, masked.

    A given secret is also found URL-quoted, as a JSON string, and inside base64 at any offset.
    """
    spellings = {spelling for secret in secrets for spelling in _spellings(secret)}
    if spellings:
        longest_first = sorted(spellings, key=len, reverse=True)
        text = re.sub("|".join(map(re.escape, longest_first)), MASK, text)
    small = text.lower()
    for mark, pattern in _TELLING:
        if mark in small:
            text = pattern.sub(rf"\g<1>{MASK}", text)
    return text


def redact_words(words: Words, secrets: Iterable[str] = ()) -> Words:
    """The sentence as ``redact_text`` leaves it, in every language."""
    kept = list(secrets)
    hidden = redact_text(words, kept)
    if hidden == words:
        return words
    said = Words(words.text, {name: _redacted(each, kept) for name, each in words.values.items()})
    # What only the whole sentence gives away has no template any more.
    return said if said == hidden else Words.plain(hidden)


def redact_body(text: str, secrets: Iterable[str] = ()) -> str:
    """The body of a notification, or a part of it, fit to be shown to who may not act as its
    sender.
    """
    text = redact_text(text, secrets)
    for pattern in _TELLING_IN_BODIES:
        text = pattern.sub(rf"\g<1>{MASK}", text)
    return text


def redact_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers, with the values of credentials, cookies and signatures masked."""
    return {
        name: MASK if _is_telling(name) else redact_text(value) for name, value in headers.items()
    }


@lru_cache(maxsize=1024)
def _is_telling(header: str) -> bool:
    return _TELLING_HEADER.search(header) is not None


def redact_object(value: Json) -> Json:
    """A Kubernetes object, or a list of them, fit to be shown.

    Every value of a Secret is masked, its copy in the annotation of ``kubectl apply`` is dropped,
    and so are the managed fields, which are long and of no use to a reader.
    """
    if isinstance(value, list):
        return [redact_object(item) for item in value]
    if not isinstance(value, dict):
        return value
    hidden = SECRET_FIELDS if value.get("kind") == "Secret" else frozenset()
    return {
        key: _masked(item) if key.lower() in hidden else redact_object(item)
        for key, item in value.items()
        if key not in ("managedFields", "kubectl.kubernetes.io/last-applied-configuration")
    }


class RedactingFilter(logging.Filter):
    """Masks secrets in a record's message, its arguments and its traceback; drops no record."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Redact the record in place."""
        record.msg = redact_text(_message(record))
        record.args = ()
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = redact_text(record.exc_text)
        if record.stack_info:
            record.stack_info = redact_text(record.stack_info)
        return True


def _redacted(value: Value, secrets: list[str]) -> Value:
    if isinstance(value, Words):
        return redact_words(value, secrets)
    return redact_text(value, secrets) if isinstance(value, str) else value


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError, KeyError):
        return f"{record.msg} {record.args!r}"


def _masked(value: Json) -> Json:
    if isinstance(value, dict):
        return dict.fromkeys(value, MASK)
    return MASK


def _spellings(secret: str) -> set[str]:
    if len(secret) < SHORTEST:
        return set()
    as_json = json.dumps(secret)[1:-1]
    forms = {secret, quote(secret, safe=""), quote(secret), quote_plus(secret), as_json}
    return forms | _in_base64(secret.encode())


def _in_base64(secret: bytes) -> set[str]:
    """The characters that the secret leaves in base64, whatever stands before and after it."""
    found = set()
    for offset in range(3):
        padded = bytes(offset) + secret
        whole_characters = len(padded) * 8 // 6
        first_own = -(-offset * 8 // 6)
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            found.add(encode(padded).decode()[first_own:whole_characters])
    return {text for text in found if len(text) > SHORTEST}
