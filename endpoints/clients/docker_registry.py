"""The client of a registry itself, Docker Hub's or any other: signs in, and says whether an account
may pull and which digest a tag stands for at this moment.

Speaks the distribution's HTTP API V2, anonymously, with a password in each call or with a token,
as the registry demands: https://distribution.github.io/distribution/spec/auth/token/
"""

from __future__ import annotations

import base64
import re
import time
from types import TracebackType
from urllib.parse import quote, urlsplit

from codestream.core.clock import now
from codestream.core.http import Reach, Response, TransportError, open_session, origin, send_within
from codestream.core.json_types import Json
from codestream.core.words import Words, gettext_noop
from endpoints.clients.base import (
    Blocked,
    ClientError,
    Forbidden,
    NotFound,
    Protocol,
    RateLimited,
    ServerFault,
    Unauthorized,
    Unreachable,
)
from endpoints.clients.dockerhub_answers import retry_at
from endpoints.clients.repository_address import DOCKER_HUB_HOSTS

DOCKER_HUB_REGISTRY = "https://registry-1.docker.io"
SECONDS = 10.0
MANIFESTS = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
_PARAMETER = re.compile(r'(\w+)="([^"]*)"')
_DIGEST = re.compile(r"[a-z0-9]+(?:[+._-][a-z0-9]+)*:[0-9a-fA-F]{32,}")
_REFUSALS: dict[int, type[ClientError]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    429: RateLimited,
}


def registry_url(base_url: str) -> str:
    """Where the registry behind an endpoint's address answers: Docker Hub's has its own host."""
    host = urlsplit(base_url).hostname or ""
    return DOCKER_HUB_REGISTRY if host in DOCKER_HUB_HOSTS else base_url.rstrip("/")


class DockerRegistry:
    """The registry behind ``base_url``; without a user name it is asked anonymously.

    All calls of one client have ``seconds`` together. Every method raises a ClientError, or
    AddressRefused.
    """

    def __init__(
        self, base_url: str, username: str = "", secret: str = "", *, seconds: float = SECONDS
    ) -> None:
        self._base_url = registry_url(base_url)
        pair = base64.b64encode(f"{username}:{secret}".encode()).decode()
        self._basic = f"Basic {pair}" if username or secret else ""
        self._session = open_session(Reach.ENDPOINT)
        self._until = time.monotonic() + seconds

    def __enter__(self) -> DockerRegistry:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._session.close()

    def check_repository(self, namespace: str, repository: str) -> None:
        """Make sure that the account may pull from the repository, and that it is there."""
        response = self._ask("GET", namespace, repository, "tags/list?n=1")
        if response.status != 200:
            raise self._refusal(
                response,
                Words(
                    gettext_noop("show the repository %(place)s"),
                    {"place": f"{namespace}/{repository}"},
                ),
            )
        if not isinstance(_json(response), dict):
            raise Protocol(
                Words(
                    gettext_noop("%(place)s answers, and not as a registry does."),
                    {"place": self._base_url},
                )
            )

    def tag_digest(self, namespace: str, repository: str, tag: str) -> str:
        """The digest that the tag stands for, as ``sha256:…``; no pull is counted for it.

        Raises NotFound for a tag that is not there.
        """
        response = self._ask("HEAD", namespace, repository, f"manifests/{quote(tag, safe='')}")
        if response.status != 200:
            raise self._refusal(
                response,
                Words(
                    gettext_noop("say what %(image)s stands for"),
                    {"image": f"{namespace}/{repository}:{tag}"},
                ),
            )
        digest = response.headers.get("docker-content-digest", "")
        if not _DIGEST.fullmatch(digest):
            raise Protocol(gettext_noop("The registry's answer names no digest."))
        return digest

    def _ask(self, method: str, namespace: str, repository: str, what: str) -> Response:
        """Ask about a repository; sign in when the registry asks for it."""
        name = quote(f"{namespace}/{repository}".strip("/"), safe="/")
        url = f"{self._base_url}/v2/{name}/{what}"
        response = self._call(method, url, self._basic)
        challenge = response.headers.get("www-authenticate", "")
        if response.status == 401 and challenge.lower().startswith("bearer "):
            return self._call(method, url, f"Bearer {self._token(challenge)}")
        return response

    def _token(self, challenge: str) -> str:
        """A token for what was asked, from where the registry says."""
        given = dict(_PARAMETER.findall(challenge))
        realm = given.pop("realm", "")
        given.pop("error", None)
        response = self._call("GET", realm, self._basic_for(realm), params=given)
        body = _json(response)
        token = (body.get("token") or body.get("access_token")) if isinstance(body, dict) else None
        if response.status != 200 or not isinstance(token, str):
            raise self._refusal(response, Words(gettext_noop("sign in")))
        return token

    def _basic_for(self, realm: str) -> str:
        """The password, where it may go: to the registry itself, or over TLS to where it says."""
        if self._basic and origin(realm) != origin(self._base_url) and _is_plain(realm):
            raise Blocked(
                gettext_noop(
                    "The registry has its tokens made at another address without TLS, where the "
                    "password of the endpoint is not sent."
                ),
                advice=gettext_noop("Enter the address of a registry that signs in by itself."),
            )
        return self._basic

    def _call(
        self, method: str, url: str, authorization: str, params: dict[str, str] | None = None
    ) -> Response:
        left = self._until - time.monotonic()
        if left <= 0:
            raise Unreachable(
                Words(
                    gettext_noop("%(place)s took too long to answer."),
                    {"place": origin(self._base_url)},
                )
            )
        headers = {"Accept": ", ".join(MANIFESTS) if method == "HEAD" else "application/json"}
        if authorization:
            headers["Authorization"] = authorization
        try:
            return send_within(
                self._session, method, url, seconds=left, headers=headers, params=params
            )
        except TransportError as error:
            raise Unreachable(error.words, retry_at=error.retry_at) from error

    def _refusal(self, response: Response, wish: Words) -> ClientError:
        """The error that an answer means; its body, which may be anything, is not repeated."""
        what = Words(
            gettext_noop("The registry did not %(wish)s: it answered %(status)s."),
            {"wish": wish, "status": response.status},
        )
        if response.status == 403 and _json(response) is None:
            return Blocked(what)
        kind = ServerFault if response.status >= 500 else _REFUSALS.get(response.status, Protocol)
        return kind(what, retry_at=retry_at(response, now()))


def _is_plain(url: str) -> bool:
    return urlsplit(url).scheme != "https"


def _json(response: Response) -> Json:
    try:
        return response.json()
    except ValueError:
        return None
