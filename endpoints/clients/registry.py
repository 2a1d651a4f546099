"""The client of a registry itself: which digest a tag stands for at this moment.

Contract: the OCI distribution specification (``HEAD /v2/<name>/manifests/<reference>``) and the
token flow of its authorisation (``WWW-Authenticate: Bearer``). A HEAD is not counted as a pull.
"""

from __future__ import annotations

import re
import time
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from codestream.core.http import (
    Reach,
    Response,
    Session,
    TransportError,
    open_session,
    origin,
    send,
)
from endpoints.clients.base import (
    Blocked,
    ClientError,
    NotFound,
    Protocol,
    RateLimited,
    ServerFault,
    Unauthorized,
    Unreachable,
)
from endpoints.clients.repository_address import DOCKER_HUB_HOSTS, RepositoryAddress

DOCKER_HUB_REGISTRY = "https://registry-1.docker.io"
MANIFESTS = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
SECONDS = 3.0
"""How long one question may take in all, its sign-in included."""
LONGEST_TOKEN_ANSWER = 64 * 1024
_DIGEST = re.compile(r"[a-z0-9]+(?:[+._-][a-z0-9]+)*:[0-9a-fA-F]{32,}")
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryAccount:
    """Who asks; without a name anonymously."""

    username: str = ""
    secret: str = ""

    @property
    def basic(self) -> str:
        """The value of a header that signs in; empty when anonymous."""
        if not self.username or not self.secret:
            return ""
        pair = f"{self.username}:{self.secret}".encode()
        return f"Basic {b64encode(pair).decode()}"


def registry_url(base_url: str) -> str:
    """Where the registry behind an endpoint's address answers: Docker Hub's has its own host."""
    host = urlsplit(base_url).hostname or ""
    return DOCKER_HUB_REGISTRY if host in DOCKER_HUB_HOSTS else base_url.rstrip("/")


def tag_digest(place: RepositoryAddress, tag: str, account: RegistryAccount) -> str:
    """The digest that the tag stands for, as ``sha256:…``; asked within ``SECONDS``.

    Raises a ClientError: NotFound for a tag that is not there, Unauthorized when the account (or
    nobody) may not read it, Unreachable, RateLimited, Blocked, ServerFault and Protocol.
    """
    with open_session(Reach.ENDPOINT) as session:
        return _Question(session, place, tag, account).answer()


class _Question:
    """One question to one registry, with the time that is left for it."""

    def __init__(
        self, session: Session, place: RepositoryAddress, tag: str, account: RegistryAccount
    ) -> None:
        self._session, self._account = session, account
        self._registry = registry_url(place.base_url)
        self._image = f"{place.namespace}/{place.repository}"
        name = quote(self._image, safe="/")
        self._url = f"{self._registry}/v2/{name}/manifests/{quote(tag, safe='')}"
        self._until = time.monotonic() + SECONDS

    def answer(self) -> str:
        """Ask, sign in when asked to, and read the digest."""
        answer = self._ask("HEAD", self._url)
        if answer.status == 401:
            authorization = self._sign_in(answer.headers.get("www-authenticate", ""))
            answer = self._ask("HEAD", self._url, authorization=authorization)
        if answer.status != 200:
            raise _refusal(answer, f"say what {self._image} holds under this tag")
        digest = answer.headers.get("docker-content-digest", "")
        if not _DIGEST.fullmatch(digest):
            raise Protocol("The registry's answer names no digest.")
        return digest

    def _sign_in(self, challenge: str) -> str:
        """The header that the challenge asks for."""
        scheme, _, rest = challenge.partition(" ")
        if scheme.casefold() == "basic" and self._account.basic:
            return self._account.basic
        parameters = {name.lower(): value for name, value in _CHALLENGE.findall(rest)}
        realm = parameters.pop("realm", "")
        if scheme.casefold() != "bearer" or not origin(realm):
            raise Unauthorized("The registry does not let this account read the image.")
        asked = {name: parameters[name] for name in ("service", "scope") if name in parameters}
        answer = self._ask("GET", realm, params=asked, authorization=self._basic_for(realm))
        if answer.status != 200:
            raise _refusal(answer, "sign in")
        return f"Bearer {_token(answer)}"

    def _basic_for(self, realm: str) -> str:
        """The password goes to another host only over TLS."""
        is_own = origin(realm) == origin(self._registry)
        return self._account.basic if is_own or realm.startswith("https://") else ""

    def _ask(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        authorization: str = "",
    ) -> Response:
        left = self._until - time.monotonic()
        if left <= 0:
            raise Unreachable("The registry took too long to answer.")
        headers = {"Accept": ", ".join(MANIFESTS) if method == "HEAD" else "application/json"}
        if authorization:
            headers["Authorization"] = authorization
        try:
            return send(
                self._session,
                method,
                url,
                headers=headers,
                params=params,
                connect_seconds=left,
                read_seconds=left,
                max_answer=LONGEST_TOKEN_ANSWER,
            )
        except TransportError as error:
            raise Unreachable(error.user_message, advice="") from error


def _token(answer: Response) -> str:
    try:
        body = answer.json()
    except ValueError as error:
        raise Protocol("The answer to the registry's sign-in is no JSON.") from error
    token = (body.get("token") or body.get("access_token")) if isinstance(body, dict) else None
    if not isinstance(token, str):
        raise Protocol("The answer to the registry's sign-in holds no token.")
    return token


def _refusal(answer: Response, wish: str) -> ClientError:
    """The error that this answer means; its text is not repeated, it may hold anything."""
    what = f"The registry would not {wish} (HTTP {answer.status})."
    match answer.status:
        case 401 | 403 if "text/html" in answer.headers.get("content-type", ""):
            return Blocked(what)
        case 401 | 403:
            return Unauthorized(what)
        case 404:
            return NotFound(what)
        case 429:
            return RateLimited(what)
        case status if status >= 500:
            return ServerFault(what)
        case _:
            return Protocol(what)
