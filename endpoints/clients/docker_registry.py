"""The client of a registry that is not Docker Hub, such as a Docker Trusted Registry: it signs in.

Speaks the distribution's HTTP API V2, with a password in each call or with a token, as the
registry demands: https://distribution.github.io/distribution/spec/auth/token/
"""

from __future__ import annotations

import base64
import re
from types import TracebackType
from urllib.parse import quote

from codestream.core.http import Reach, Response, TransportError, open_session, origin, send
from codestream.core.json_types import Json
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

_PARAMETER = re.compile(r'(\w+)="([^"]*)"')
_REFUSALS: dict[int, type[ClientError]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    429: RateLimited,
}


class DockerRegistry:
    """A registry at ``base_url``. Every method raises a ClientError, or AddressRefused."""

    def __init__(self, base_url: str, username: str, secret: str) -> None:
        self._base_url = base_url.rstrip("/")
        self._basic = base64.b64encode(f"{username}:{secret}".encode()).decode()
        self._session = open_session(Reach.ENDPOINT)

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
        path = f"{quote(namespace, safe='')}/{quote(repository, safe='')}"
        response = self._get(f"{self._base_url}/v2/{path}/tags/list?n=1")
        if response.status != 200:
            raise self._refusal(response, f"show the repository {namespace}/{repository}")
        if not isinstance(_json(response), dict):
            raise Protocol(f"{self._base_url} answers, and not as a registry does.")

    def _get(self, url: str) -> Response:
        response = self._call(url, f"Basic {self._basic}")
        challenge = response.headers.get("www-authenticate", "")
        if response.status == 401 and challenge.lower().startswith("bearer "):
            return self._call(url, f"Bearer {self._token(challenge)}")
        return response

    def _token(self, challenge: str) -> str:
        """A token for what was asked, from where the registry says; the password stays at home."""
        given = dict(_PARAMETER.findall(challenge))
        realm = given.pop("realm", "")
        if origin(realm) != origin(self._base_url):
            raise Blocked(
                "The registry has its tokens made at another address, where the password "
                "of the endpoint is not sent.",
                advice="Enter the address of a registry that signs in by itself.",
            )
        given.pop("error", None)
        response = self._call(realm, f"Basic {self._basic}", params=given)
        body = _json(response)
        token = (body.get("token") or body.get("access_token")) if isinstance(body, dict) else None
        if response.status != 200 or not isinstance(token, str):
            raise self._refusal(response, "sign in")
        return token

    def _call(self, url: str, authorization: str, params: dict[str, str] | None = None) -> Response:
        headers = {"Accept": "application/json", "Authorization": authorization}
        try:
            return send(self._session, "GET", url, headers=headers, params=params)
        except TransportError as error:
            raise Unreachable(error.user_message, retry_at=error.retry_at) from error

    def _refusal(self, response: Response, wish: str) -> ClientError:
        """The error that an answer means; its body, which may be anything, is not repeated."""
        what = f"The registry did not {wish}: it answered {response.status}."
        if response.status == 403 and _json(response) is None:
            return Blocked(what)
        if response.status >= 500:
            return ServerFault(what)
        return _REFUSALS.get(response.status, Protocol)(what)


def _json(response: Response) -> Json:
    try:
        return response.json()
    except ValueError:
        return None
