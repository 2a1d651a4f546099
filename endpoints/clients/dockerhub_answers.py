"""Reads what Docker Hub answers: its objects, and its refusals as errors of our own.

The webhook routes are no public interface, so this trusts the status code and little else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from codestream.core.http import Response, Session, TransportError, send
from codestream.core.json_types import Json
from codestream.core.redact import redact_text
from codestream.core.words import Words, gettext_noop
from endpoints.clients.base import (
    Blocked,
    ClientError,
    Conflict,
    Invalid,
    NotFound,
    Protocol,
    RateLimited,
    ServerFault,
    Unauthorized,
    Unreachable,
)
from endpoints.clients.dockerhub_errors import NotAdministrator, TokenLacksRight

READ_SECONDS = 10.0
LONGEST_WAIT = timedelta(hours=1)
USUAL_WAIT = timedelta(minutes=1)
LONGEST_EXPLANATION = 200
# A larger number in a Retry-After is a unix time, a smaller one is seconds.
FIRST_TIMESTAMP = 10**9

_REFUSALS: dict[int, type[ClientError]] = {
    400: Invalid,
    401: Unauthorized,
    404: NotFound,
    # A proxy on the way wants to be signed in to.
    407: Blocked,
    408: ServerFault,
    409: Conflict,
    # Announced brown-outs answer so.
    410: ServerFault,
    422: Invalid,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class HubWebhook:
    """A webhook as Docker Hub holds it. Its URLs carry a secret, so they are not shown."""

    slug: str
    name: str
    hook_urls: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class HubRepository:
    """A repository; ``can_admin`` is None when Docker Hub does not say."""

    name: str
    is_private: bool
    can_admin: bool | None


def ask(
    session: Session, method: str, url: str, *, token: str = "", json: object = None
) -> Response:
    """One call to Docker Hub, of whatever status. Raises Unreachable and AddressRefused."""
    headers = {"Accept": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    try:
        return send(session, method, url, headers=headers, json=json, read_seconds=READ_SECONDS)
    except TransportError as error:
        unreachable = Unreachable(error.words, retry_at=error.retry_at)
        unreachable.retryable = error.retryable
        raise unreachable from error


def refusal(
    response: Response, wish: Words | str, *, now: datetime, secrets: Iterable[str] = ()
) -> ClientError:
    """The error that an answer outside 2xx means. ``wish`` completes "Docker Hub did not ..."."""
    said = explanation(response, secrets)
    reason = said or _phrase(response.status)
    what = Words(
        gettext_noop("Docker Hub did not %(wish)s: %(reason)s."), {"wish": wish, "reason": reason}
    )
    if response.status == HTTPStatus.TOO_MANY_REQUESTS:
        return RateLimited(what, retry_at=retry_at(response, now) or now + USUAL_WAIT)
    if _is_turned_away(response):
        return Blocked(what)
    if response.status == HTTPStatus.FORBIDDEN:
        return TokenLacksRight(what) if "token" in said.lower() else NotAdministrator(what)
    if response.status == HTTPStatus.BAD_REQUEST and "already exists" in said:
        return Conflict(what)
    if response.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return ServerFault(what, retry_at=retry_at(response, now))
    return _REFUSALS.get(response.status, Protocol)(what)


def explanation(response: Response, secrets: Iterable[str] = ()) -> str:
    """What the body says, as one short line of plain text without secrets; may be empty.

    Bodies are ``detail``, ``message``, a map of field to texts (nested for hooks), plain text, or
    an HTML page, which explains nothing.
    """
    body = _json(response)
    if isinstance(body, dict):
        text = _first_text(body) or "; ".join(_field_errors(body))
    else:
        text = "" if "<" in response.text[:200] else response.text
    # Redacted before it is cut: half a secret would no longer be recognised.
    clean = " ".join(redact_text(text, secrets).split())
    return re.sub(r"[^\x20-\uffff]", "", clean)[:LONGEST_EXPLANATION].rstrip(".")


def retry_at(response: Response, now: datetime) -> datetime | None:
    """When the answer says to come back, at most an hour from now.

    Docker Hub sends ``X-Retry-After`` as a unix time, what stands before it ``Retry-After`` in
    seconds or as a date.
    """
    texts = (response.headers.get(name, "") for name in ("x-retry-after", "retry-after"))
    waits = (_wait(text.strip(), now) for text in texts)
    wait = next((wait for wait in waits if wait is not None), None)
    return None if wait is None else now + min(max(wait, timedelta()), LONGEST_WAIT)


def read_object(response: Response, wish: Words | str) -> dict[str, Json]:
    """The JSON object of a successful answer. Raises Protocol."""
    body = _json(response)
    if not isinstance(body, dict):
        words = gettext_noop("Docker Hub's answer to the wish to %(wish)s is not a JSON object.")
        raise Protocol(Words(words, {"wish": wish}))
    return body


@dataclass(frozen=True, slots=True, kw_only=True)
class HubTag:
    """A tag of a repository, and when it was pushed last."""

    name: str
    digest: str
    pushed_at: datetime


def read_tags(body: dict[str, Json]) -> tuple[HubTag, ...]:
    """The tags of a page that say when they were pushed. Raises Protocol without a list."""
    results = body.get("results")
    if not isinstance(results, list):
        raise Protocol(gettext_noop("Docker Hub's list of tags has no results."))
    found = (_read_tag(each) for each in results if isinstance(each, dict))
    return tuple(tag for tag in found if tag is not None)


def _read_tag(about: dict[str, Json]) -> HubTag | None:
    name, moment = about.get("name"), about.get("tag_last_pushed") or about.get("last_updated")
    if not isinstance(name, str) or not isinstance(moment, str):
        return None
    try:
        pushed_at = datetime.fromisoformat(moment)
    except ValueError:
        return None
    if pushed_at.tzinfo is None:
        pushed_at = pushed_at.replace(tzinfo=UTC)
    return HubTag(name=name, digest=str(about.get("digest") or ""), pushed_at=pushed_at)


def read_webhook(value: Json) -> HubWebhook:
    """A webhook out of a create or list answer. Raises Protocol without a slug."""
    record = value if isinstance(value, dict) else {}
    slug, name, hooks = record.get("slug"), record.get("name"), record.get("webhooks")
    if not isinstance(slug, str) or not slug:
        raise Protocol(gettext_noop("Docker Hub's answer describes a webhook without its slug."))
    urls = [
        hook.get("hook_url")
        for hook in (hooks if isinstance(hooks, list) else [])
        if isinstance(hook, dict)
    ]
    return HubWebhook(
        slug=slug,
        name=name if isinstance(name, str) else slug,
        hook_urls=tuple(url for url in urls if isinstance(url, str)),
    )


def read_repository(record: dict[str, Json], name: str) -> HubRepository:
    """A repository out of its detail answer; ``name`` stands in where the answer has none."""
    said, permissions = record.get("name"), record.get("permissions")
    can_admin = permissions.get("admin") if isinstance(permissions, dict) else None
    return HubRepository(
        name=said if isinstance(said, str) else name,
        is_private=record.get("is_private") is True,
        can_admin=can_admin if isinstance(can_admin, bool) else None,
    )


def _is_turned_away(response: Response) -> bool:
    """Whether something in front of Docker Hub answered: it speaks no JSON, and asks browsers
    for proof that they are one.
    """
    if response.status == HTTPStatus.FORBIDDEN:
        return not isinstance(_json(response), dict)
    is_challenge = "cf-mitigated" in response.headers or "challenge-platform" in response.text
    return response.status == HTTPStatus.SERVICE_UNAVAILABLE and is_challenge


def _json(response: Response) -> Json:
    try:
        return response.json()
    except ValueError:
        return None


def _first_text(body: dict[str, Json]) -> str:
    for key in ("detail", "message", "text"):
        value = body.get(key)
        if isinstance(value, str) and value:
            return value
    return ""


def _field_errors(value: Json, name: str = "") -> Iterator[str]:
    if isinstance(value, str):
        yield f"{name}: {value.rstrip('.')}" if name else value
    elif isinstance(value, list):
        for item in value:
            yield from _field_errors(item, name)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _field_errors(item, key)


def _wait(text: str, now: datetime) -> timedelta | None:
    if text.isascii() and text.isdecimal():
        # Cut before the conversion, which refuses numbers no clock will ever show.
        number = int(text[:11])
        return timedelta(seconds=number - (now.timestamp() if number > FIRST_TIMESTAMP else 0))
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    return (date if date.tzinfo else date.replace(tzinfo=UTC)) - now


def _phrase(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"status {status}"
