"""Turns a refusal of an API server into the error that tells the caller what to do.

Pure but for the clock. The body is a ``Status`` object
(https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/status/).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from datetime import timedelta

from codestream.core.clock import now
from codestream.core.json_types import Json
from codestream.core.redact import redact_text
from codestream.core.words import Words, gettext_noop, joined
from endpoints.clients.base import (
    Blocked,
    ClientError,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    Outdated,
    Protocol,
    RateLimited,
    ServerFault,
    Unauthorized,
)
from endpoints.clients.kubernetes_objects import objects_at, text_at

UNKNOWN_FIELD = "field not declared in schema"
# A real API server answers a typo in a server-side apply with 500 (seen on v1.20 and v1.36), and
# so a value that cannot be decoded. Trying that again would never end.
FINAL_FAULTS = (
    "failed to create typed patch object",
    UNKNOWN_FIELD,
    "unable to convert unstructured object",
)
CHECK_PROXY_LOGIN = gettext_noop("Check the proxy's user name and password.")
# Of a webhook with its name, and of a ValidatingAdmissionPolicy; whatever the status is.
DENIED = re.compile(r"denied (the )?request")
UNASKED = "failed calling webhook"
QUOTA = "exceeded quota"
TERMINATING = "because it is being terminated"
# Of a write, also of one to what is gone, and of a delete whose object changed before the server
# looked, or under its look.
OUTDATED = (
    "the object has been modified",
    "uid mismatch",
    "ResourceVersion in the precondition",
    "ResourceVersion in precondition",
)
CONFLICT = re.compile(r'conflict with "(?P<manager>[^"]*)"')
# Servers quote what stands around a value that they cannot read: perhaps the half of a secret,
# which nobody can tell from any other text.
QUOTED = re.compile(r"(, )?error found in #\d+ byte of .*", re.DOTALL)
LONGEST_WAIT = timedelta(hours=1)
LONGEST_MESSAGE = 2000
# What a Status never leaves out, and a page of something in front of the cluster never has.
STATUS_KIND = "Status"


class UnknownKind(Invalid):
    """The cluster serves no such kind, or does not serve it yet."""

    advice = gettext_noop("Correct the manifest, or install what defines the kind first.")


class FieldsHeld(Conflict):
    """Other field managers hold fields of the object at other values.

    ``held`` names the manager of each field, ``since`` when each manager last wrote.
    """

    def __init__(self, held: Mapping[str, str], since: Mapping[str, str] | None = None) -> None:
        times = since or {}
        fields = joined(
            (_holding(field, manager, times.get(manager, "")) for field, manager in held.items()),
            by="; ",
        )
        super().__init__(
            Words(
                gettext_noop("Other field managers hold fields of this object: %(fields)s."),
                {"fields": fields},
            ),
            advice=gettext_noop(
                "Leave these fields out of the manifest, or let the task force the apply."
            ),
        )
        self.held = dict(held)


def error_of(
    status: int, body: bytes, *, retry_after: str = "", secrets: Iterable[str] = ()
) -> ClientError:
    """The error for an answer that is no success; ``secrets`` are masked in its message.

    ``retry_after`` is the header of that name: whole seconds, capped at an hour.
    """
    told = _status_object(body)
    unquoted = QUOTED.sub("", text_at(told, "message"))
    message = redact_text(unquoted, secrets)[:LONGEST_MESSAGE]
    answered = Words(gettext_noop("The cluster answered %(status)s."), {"status": status})
    what = _sentence(message) if message else answered
    if status in (429, 503) and retry_after.isdecimal():
        wait = min(timedelta(seconds=int(retry_after)), LONGEST_WAIT)
        return RateLimited(what, retry_at=now() + wait)
    if status == 429:
        return RateLimited(what)
    if status == 401:
        return Unauthorized(
            gettext_noop("The cluster does not accept the credentials of the endpoint."),
            advice=gettext_noop("Check its token, certificate or user name and password."),
        )
    if status < 500 and DENIED.search(message):
        return Invalid(
            what,
            advice=gettext_noop(
                "A policy of the cluster refuses the object: change the manifest, or ask who runs "
                "the policy."
            ),
        )
    if status == 407:
        return Unauthorized(
            gettext_noop("The proxy of the endpoint asks for an account."),
            advice=CHECK_PROXY_LOGIN,
        )
    if status == 403:
        return _forbidden(told, what)
    if status == 409:
        return _conflict(told, what)
    if status >= 500 and UNASKED in message:
        return ServerFault(
            what,
            advice=gettext_noop(
                "The API server could not ask this admission webhook. If it stays so, whoever runs "
                "the webhook has to mend it."
            ),
        )
    if status >= 500:
        manifest = gettext_noop("Correct the manifest.")
        is_final = any(mark in message for mark in FINAL_FAULTS)
        return Invalid(what, advice=manifest) if is_final else ServerFault(what)
    return _client_fault(status, what)


def _client_fault(status: int, what: str) -> ClientError:
    if status == 404:
        return NotFound(what)
    if status in (400, 413, 415, 422):
        return Invalid(what, advice=gettext_noop("Correct the manifest."))
    if status == 410:
        return ServerFault(
            what, advice=gettext_noop("The watch began too long ago; it begins anew.")
        )
    return Protocol(what)


def _forbidden(told: Json, what: str) -> ClientError:
    """Not every 403 is about rights."""
    if text_at(told, "kind") != STATUS_KIND:
        return Blocked(what)
    if QUOTA in what:
        advice = gettext_noop("Free what the namespace no longer needs, or have its quota raised.")
        return Forbidden(what, advice=advice)
    if TERMINATING in what:
        advice = gettext_noop("Wait until the namespace is gone, and let it be made anew.")
        return Forbidden(what, advice=advice)
    return Forbidden(what)


def _conflict(told: Json, what: str) -> Conflict | Outdated:
    """Fields that another manager holds are named with it; that the object has changed since it was
    read is told in words of ours, all else in the server's own.
    """
    held = {
        text_at(cause, "field"): _manager(text_at(cause, "message"))
        for cause in objects_at(told, "details", "causes")
        if cause.get("reason") == "FieldManagerConflict"
    }
    if held:
        return FieldsHeld(held)
    if any(mark in text_at(told, "message") for mark in OUTDATED):
        words = gettext_noop("%(name)s is changed by others all the time; it is tried again.")
        return Outdated(Words(words, {"name": text_at(told, "details", "name")}))
    return Conflict(what)


def _manager(message: str) -> str:
    found = CONFLICT.search(message)
    return found["manager"] if found else message


def _status_object(body: bytes) -> Json:
    try:
        value: Json = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return value


def _sentence(message: str) -> str:
    return message if message.endswith((".", "!", "?")) else f"{message}."


def _holding(field: str, manager: str, since: str) -> Words:
    said = {"field": field, "manager": manager, "time": since}
    if since:
        return Words(gettext_noop('%(field)s is held by "%(manager)s" since %(time)s'), said)
    return Words(gettext_noop('%(field)s is held by "%(manager)s"'), said)
