"""The registry behind the Docker Hub stand-in: which digest a tag stands for, and its tokens."""

from __future__ import annotations

import base64
import binascii
import re
import secrets
import threading

from codestream.sandbox.dockerhub_failures import Failures
from codestream.sandbox.dockerhub_repositories import Repository
from codestream.sandbox.dockerhub_store import Store
from codestream.sandbox.http_server import Request, Response, Router, json_response

MANIFEST = "/v2/{namespace}/{repository}/manifests/{tag}"
OWN = re.compile(r"/registry/token|/v2/(?!repositories/)[^/]+/[^/]+/manifests/[^/]+")
MEDIA_TYPE = "application/vnd.oci.image.index.v1+json"


class Registry:
    """An application for ``/v2/<name>/manifests/<tag>`` and for the tokens that it asks for."""

    def __init__(self, store: Store, failures: Failures) -> None:
        self._store = store
        self._failures = failures
        self._lock = threading.Lock()
        self._tokens: dict[str, tuple[str, str]] = {}
        self._router = Router()
        self._router.add("GET", "/registry/token", self._issue)
        for method in ("GET", "HEAD"):
            self._router.add(method, MANIFEST, self._manifest)

    def __call__(self, request: Request) -> Response:
        """Answer as registry-1.docker.io and auth.docker.io do."""
        return self._router(request)

    def serves(self, path: str) -> bool:
        """Whether the path is the registry's and not the web interface's."""
        return OWN.fullmatch(path) is not None

    def _issue(self, request: Request) -> Response:
        """A token for one repository, for the account of a Basic header or for nobody."""
        username = ""
        if header := request.headers.get("Authorization", ""):
            username, password = _basic(header)
            if self._store.accounts.check(username, password) is None:
                return json_response({"details": "incorrect username or password"}, 401)
        token = secrets.token_urlsafe(24)
        with self._lock:
            self._tokens[token] = (username, request.query.get("scope", ""))
        return json_response({"token": token, "expires_in": 300})

    def _manifest(self, request: Request, namespace: str, repository: str, tag: str) -> Response:
        def work() -> Response:
            found = self._store.repositories.get(f"{namespace}/{repository}")
            if not self._may_read(request, namespace, repository, found):
                return _challenge(request, f"{namespace}/{repository}")
            held = found.tags.get(tag) if found else None
            if held is None:
                return json_response({"errors": [{"code": "MANIFEST_UNKNOWN"}]}, 404)
            headers = {"Docker-Content-Digest": held.digest}
            return Response(body=b"{}", content_type=MEDIA_TYPE, headers=headers)

        return self._failures.suffer("manifest", work)

    def _may_read(
        self, request: Request, namespace: str, repository: str, found: Repository | None
    ) -> bool:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        with self._lock:
            username, scope = self._tokens.get(token, ("", ""))
        if scope != f"repository:{namespace}/{repository}:pull":
            return False
        return found is None or not found.is_private or username in found.admins


def _challenge(request: Request, image: str) -> Response:
    realm = f'Bearer realm="{request.base_url}/registry/token",service="registry.docker.io"'
    challenge = f'{realm},scope="repository:{image}:pull"'
    errors = {"errors": [{"code": "UNAUTHORIZED", "message": "authentication required"}]}
    return json_response(errors, 401, {"WWW-Authenticate": challenge})


def _basic(header: str) -> tuple[str, str]:
    try:
        text = base64.b64decode(header.removeprefix("Basic "), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    username, _, password = text.partition(":")
    return username, password
