"""The one door for outgoing HTTP: time limits, TLS, size limits and the address guard.

Only this module knows ``requests``. What an answer means is left to the client of each system;
what a failed call means for the caller is said by TransportError.
"""

from __future__ import annotations

import json as json_codec
import re
import ssl
import threading
import time
from collections.abc import Iterable, Mapping
from contextvars import copy_context
from dataclasses import dataclass
from datetime import datetime
from importlib import metadata
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3
from django.conf import settings
from requests.adapters import HTTPAdapter
from urllib3.exceptions import NameResolutionError, NewConnectionError

from codestream.core.address_guard import (
    AddressGuard,
    AddressRefused,
    Reach,
    Resolver,
    parse_allowance,
    resolve_by_system,
)
from codestream.core.errors import CodeStreamError
from codestream.core.guarded_pools import (
    GuardedPools,
    ProxiedPools,
    Proxy,
    peer_certificate,
    tls_context,
)
from codestream.core.json_types import Json
from codestream.core.words import Words, gettext_noop

__all__ = [
    "AddressRefused",
    "Proxy",
    "Reach",
    "Response",
    "Session",
    "TransportError",
    "open_session",
    "origin",
    "pool_manager",
    "refusal_of_proxy",
    "send",
    "send_within",
    "server_certificate",
    "tls_context",
    "words_of_refusal",
]

CONNECT_SECONDS = 5.0
READ_SECONDS = 10.0
ANSWER_SECONDS = 30.0
MAX_ANSWER = 8 * 1024 * 1024
MAX_REDIRECTS = 5
PIECE = 64 * 1024
# The words of the standard library, http.client.
TUNNEL_REFUSED = re.compile(r"Tunnel connection failed: (?P<status>\d{3})")


def _user_agent() -> str:
    try:
        return f"Codestream/{metadata.version('codestream')}"
    except metadata.PackageNotFoundError:
        return "Codestream"


USER_AGENT = _user_agent()


class TransportError(CodeStreamError):
    """No usable answer arrived; whether the other side acted on the request is unknown.

    ``retryable`` is false where only a person can help: a bad URL, a certificate that is not
    trusted. ``retry_at`` is the earliest time another try makes sense, if known.
    """

    code = "transport"

    def __init__(
        self, user_message: str, *, retryable: bool, retry_at: datetime | None = None
    ) -> None:
        super().__init__(user_message)
        self.retryable = retryable
        self.retry_at = retry_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """A whole answer. Header names are in lower case; ``body`` is decompressed."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text; bytes that are not UTF-8 are replaced."""
        return self.body.decode(errors="replace")

    def json(self) -> Json:
        """The body as JSON. Raises ValueError when it is none, or is nested absurdly deep."""
        try:
            value: Json = json_codec.loads(self.body)
        except RecursionError as error:
            raise ValueError("nested too deep") from error
        return value


class _GuardedAdapter(HTTPAdapter):
    """Lets ``requests`` use the guarded pools, with one TLS context for all of them."""

    def __init__(self, guard: AddressGuard, context: ssl.SSLContext) -> None:
        self._guard = guard
        self._context = context
        super().__init__(max_retries=0)

    def init_poolmanager(
        self, connections: int, maxsize: int, block: bool = False, **_kwargs: Any
    ) -> None:
        """Put the guarded pools in place of the library's own."""
        self.poolmanager = GuardedPools(
            self._guard,
            num_pools=connections,
            maxsize=maxsize,
            block=block,
            ssl_context=self._context,
        )

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Leave the trust to the TLS context, which is complete."""


class Session:
    """Open connections of one client, to be used with ``send``; close it when done."""

    def __init__(self, guard: AddressGuard, context: ssl.SSLContext) -> None:
        self._requests = requests.Session()
        # No proxy, no .netrc and no certificate bundle from the environment.
        self._requests.trust_env = False
        self._requests.max_redirects = MAX_REDIRECTS
        self._requests.headers["User-Agent"] = USER_AGENT
        self._requests.adapters.clear()
        for scheme in ("http://", "https://"):
            self._requests.mount(scheme, _GuardedAdapter(guard, context))

    def request(self, method: str, url: str, **options: Any) -> requests.Response:
        """Start a call; ``send`` is the way to make one."""
        # Cookies of an earlier answer would make a second credential out of the session.
        self._requests.cookies.clear()
        return self._requests.request(method, url, stream=True, **options)

    def close(self) -> None:
        """Close the connections that are kept open."""
        self._requests.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def open_session(
    reach: Reach,
    *,
    ca: str | None = None,
    allow: Iterable[str] | None = None,
    resolve: Resolver = resolve_by_system,
) -> Session:
    """A session for one kind of call.

    ``ca`` is PEM text that replaces the public certificate authorities. ``allow`` replaces the
    setting OUTGOING_ALLOW. Raises ConfigurationError when either cannot be read.
    """
    context = tls_context(ca_pem=ca.encode()) if ca else tls_context()
    return Session(_guard(reach, allow, resolve), context)


def send(
    session: Session,
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    params: Mapping[str, str] | None = None,
    json: object = None,
    body: bytes | None = None,
    follow_redirects: bool = False,
    connect_seconds: float = CONNECT_SECONDS,
    read_seconds: float = READ_SECONDS,
    max_answer: int = MAX_ANSWER,
) -> Response:
    """Make one call and read its whole answer, of whatever status.

    ``json`` is sent as a JSON body, ``body`` as it is. Raises AddressRefused, or TransportError
    when no whole answer of at most ``max_answer`` bytes arrived in time. Never repeats a call.
    """
    try:
        with session.request(
            method,
            url,
            headers=headers,
            params=params,
            json=json,
            data=body,
            allow_redirects=follow_redirects,
            timeout=(connect_seconds, read_seconds),
        ) as answer:
            return Response(
                status=answer.status_code,
                headers={name.lower(): value for name, value in answer.headers.items()},
                body=_read(answer, max_answer),
            )
    except requests.RequestException as error:
        raise _transport_error(error, url) from error


def send_within(
    session: Session, method: str, url: str, *, seconds: float, **call: Any
) -> Response:
    """``send``, over after ``seconds`` whatever the other side does: time-outs of a connection
    begin anew with every byte that drips in, and know nothing of the time that a name takes.

    What is late is left to itself and heard no more. Raises what ``send`` does.
    """
    heard: SimpleQueue[Response | CodeStreamError] = SimpleQueue()
    call |= {"connect_seconds": seconds, "read_seconds": seconds}

    def ask() -> None:
        try:
            heard.put(send(session, method, url, **call))
        except CodeStreamError as error:
            heard.put(error)

    context = copy_context()
    threading.Thread(target=context.run, args=(ask,), name="send", daemon=True).start()
    try:
        answer = heard.get(timeout=seconds)
    except Empty:
        words = f"{origin(url) or 'The address'} did not answer in time."
        raise TransportError(words, retryable=True) from None
    if isinstance(answer, CodeStreamError):
        raise answer
    return answer


def pool_manager(
    reach: Reach,
    *,
    ca_pem: bytes | None = None,
    cert_pem: bytes | None = None,
    key_pem: bytes | None = None,
    verify: bool = True,
    server_name: str = "",
    proxy: Proxy | None = None,
    connect_seconds: float = CONNECT_SECONDS,
    read_seconds: float = READ_SECONDS,
    connections: int = 1,
    allow: Iterable[str] | None = None,
    resolve: Resolver = resolve_by_system,
) -> urllib3.PoolManager:
    """Guarded connections for a library that speaks urllib3; so many to one host are kept open.

    The certificates are those of ``tls_context``; with ``server_name`` the server has to show one
    for that name instead of its host's. A ``proxy`` stands between. No retries and no redirects of
    its own. Raises ConfigurationError; its calls raise urllib3's exceptions, and AddressRefused.
    """
    context = tls_context(ca_pem=ca_pem, cert_pem=cert_pem, key_pem=key_pem, verify=verify)
    guard = _guard(reach, allow, resolve)
    options: dict[str, Any] = {
        "maxsize": connections,
        "ssl_context": context,
        "server_hostname": server_name or None,
        "headers": {"User-Agent": USER_AGENT},
        "retries": urllib3.Retry(total=False, redirect=0),
        "timeout": urllib3.Timeout(connect=connect_seconds, read=read_seconds),
    }
    return ProxiedPools(guard, proxy, **options) if proxy else GuardedPools(guard, **options)


def server_certificate(
    reach: Reach,
    url: str,
    *,
    server_name: str = "",
    proxy: Proxy | None = None,
    allow: Iterable[str] | None = None,
    resolve: Resolver = resolve_by_system,
) -> bytes:
    """The certificate of the server behind an https address, in DER, for a person to judge.

    Raises AddressRefused, and TransportError when none is shown.
    """
    parts = urlsplit(origin(url))
    if parts.scheme != "https" or not parts.hostname or not parts.port:
        raise TransportError(
            Words(gettext_noop("Only an address with https:// has a certificate.")), retryable=False
        )
    place = origin(url)
    try:
        return peer_certificate(
            _guard(reach, allow, resolve),
            parts.hostname,
            parts.port,
            server_name=server_name,
            seconds=CONNECT_SECONDS,
            proxy=proxy,
        )
    except ssl.SSLError as error:
        raise TransportError(
            Words(gettext_noop("%(place)s does not speak TLS."), {"place": place}), retryable=False
        ) from error
    except (OSError, UnicodeError, urllib3.exceptions.HTTPError) as error:
        raise TransportError(_unreached(place, proxy, error), retryable=True) from error


def refusal_of_proxy(error: Exception) -> int:
    """The status with which a proxy refused the tunnel, 0 where it did not."""
    found = TUNNEL_REFUSED.search(str(error))
    return int(found["status"]) if found else 0


def words_of_refusal(proxy: str, status: int, place: str) -> Words:
    """What a proxy did with the wish for a tunnel to a place."""
    text = gettext_noop("The proxy %(proxy)s answered %(status)s when asked for %(place)s.")
    return Words(text, {"proxy": proxy, "status": status, "place": place})


def _unreached(place: str, proxy: Proxy | None, error: Exception) -> Words:
    if proxy is None:
        return Words(gettext_noop("%(place)s cannot be reached."), {"place": place})
    if status := refusal_of_proxy(error):
        return words_of_refusal(origin(proxy.url), status, place)
    text = gettext_noop("%(place)s cannot be reached through the proxy %(proxy)s.")
    return Words(text, {"place": place, "proxy": origin(proxy.url)})


def origin(url: str) -> str:
    """``scheme://host:port`` of a URL in lower case, the port always said; for messages and checks.

    Empty when the URL has no host or an impossible port.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.hostname}:{port}" if parts.hostname else ""


def _guard(reach: Reach, allow: Iterable[str] | None, resolve: Resolver) -> AddressGuard:
    entries = settings.OUTGOING_ALLOW if allow is None else allow
    return AddressGuard(reach=reach, allowance=parse_allowance(tuple(entries)), resolve=resolve)


def _read(answer: requests.Response, limit: int) -> bytes:
    """The body, unless it grows over the limit or drips in for too long."""
    deadline = time.monotonic() + ANSWER_SECONDS
    body = bytearray()
    for piece in answer.iter_content(PIECE):
        body += piece
        if len(body) > limit:
            message = Words(
                gettext_noop("%(place)s answered with more than %(limit)s bytes."),
                {"place": origin(answer.url), "limit": limit},
            )
            raise TransportError(message, retryable=False)
        if time.monotonic() > deadline:
            message = Words(
                gettext_noop("%(place)s took more than %(seconds)s s to answer."),
                {"place": origin(answer.url), "seconds": round(ANSWER_SECONDS)},
            )
            raise TransportError(message, retryable=True)
    return bytes(body)


def _transport_error(error: requests.RequestException, url: str) -> TransportError:
    """The failure in words. The library's own text is left out: it holds the whole URL."""
    place = origin(url) or Words(gettext_noop("The address"))
    text, retryable = _reason(error)
    return TransportError(Words(text, {"place": place}), retryable=retryable)


def _reason(error: requests.RequestException) -> tuple[str, bool]:
    """What happened, and whether another try can help."""
    if isinstance(error, requests.exceptions.SSLError):
        return _tls_reason(error), False
    if isinstance(error, requests.Timeout):
        return gettext_noop("%(place)s did not answer in time."), True
    if isinstance(error, requests.TooManyRedirects):
        return gettext_noop("%(place)s redirects without end."), False
    if isinstance(error, ValueError):
        return gettext_noop("%(place)s is not a usable HTTP address."), False
    return _connection_reason(error), True


def _tls_reason(error: requests.RequestException) -> str:
    if "CERTIFICATE_VERIFY_FAILED" in str(error) or "hostname" in str(error):
        return gettext_noop(
            "%(place)s: the TLS certificate is not trusted, or is for another name."
        )
    return gettext_noop("%(place)s: a TLS connection could not be made.")


def _connection_reason(error: requests.RequestException) -> str:
    cause = getattr(error.args[0], "reason", None) if error.args else None
    if isinstance(cause, NameResolutionError):
        return gettext_noop("%(place)s has a host name that is not known.")
    if isinstance(cause, NewConnectionError):
        return gettext_noop(
            "%(place)s cannot be reached: the connection was refused or has no route."
        )
    return gettext_noop("%(place)s closed the connection before a whole answer arrived.")
