"""Turns a refusal of an API server into the error that tells the caller what to do.

Pure but for the clock. The body is a ``Status`` object
(https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/status/).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import timedelta

from codestream.core.clock import now
from codestream.core.json_types import Json
from codestream.core.redact import redact_text
from endpoints.clients.base import (
    Blocked,
    ClientError,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    Protocol,
    RateLimited,
    ServerFault,
    Unauthorized,
)
from endpoints.clients.kubernetes_objects import objects_at, text_at

# A real API server answers a typo in a server-side apply with 500 (seen on v1.20 and v1.36).
# Trying that again would never end.
FINAL_FAULTS = ("failed to create typed patch object", "field not declared in schema")
LONGEST_WAIT = timedelta(hours=1)
LONGEST_MESSAGE = 2000
# What a Status never leaves out, and a page of something in front of the cluster never has.
STATUS_KIND = "Status"


def error_of(
    status: int, body: bytes, *, retry_after: str = "", secrets: Iterable[str] = ()
) -> ClientError:
    """The error for an answer that is no success; ``secrets`` are masked in its message.

    ``retry_after`` is the header of that name: whole seconds, capped at an hour.
    """
    told = _status_object(body)
    message = redact_text(text_at(told, "message"), secrets)[:LONGEST_MESSAGE]
    what = _sentence(message) if message else f"The cluster answered {status}."
    if status in (429, 503) and retry_after.isdecimal():
        wait = min(timedelta(seconds=int(retry_after)), LONGEST_WAIT)
        return RateLimited(what, retry_at=now() + wait)
    if status == 429:
        return RateLimited(what)
    if status == 401:
        return Unauthorized(
            "The cluster does not accept the credentials of the endpoint.",
            advice="Check its token, certificate or user name and password.",
        )
    if status == 403:
        return Forbidden(what) if text_at(told, "kind") == STATUS_KIND else Blocked(what)
    if status == 409:
        return _conflict(told, what)
    if status >= 500:
        is_final = any(mark in message for mark in FINAL_FAULTS)
        return Invalid(what, advice="Correct the manifest.") if is_final else ServerFault(what)
    return _client_fault(status, what)


def _client_fault(status: int, what: str) -> ClientError:
    if status == 404:
        return NotFound(what)
    if status in (400, 413, 415, 422):
        return Invalid(what, advice="Correct the manifest.")
    if status == 410:
        return ServerFault(what, advice="The watch began too long ago; it begins anew.")
    return Protocol(what)


def _conflict(told: Json, what: str) -> Conflict:
    """Fields that another manager holds are named with it; else the server's own words."""
    causes = [
        cause
        for cause in objects_at(told, "details", "causes")
        if cause.get("reason") == "FieldManagerConflict"
    ]
    if not causes:
        return Conflict(what)
    fields = "; ".join(f"{text_at(c, 'field')}: {text_at(c, 'message')}" for c in causes)
    return Conflict(
        f"Other field managers hold fields of this object: {fields}.",
        advice="Leave these fields out of the manifest, or force the apply.",
    )


def _status_object(body: bytes) -> Json:
    try:
        value: Json = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return value


def _sentence(message: str) -> str:
    return message if message.endswith((".", "!", "?")) else f"{message}."
