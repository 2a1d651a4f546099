"""A stand-in for a Kubernetes API server: login, paths and verbs over HTTP, and the command line.

Spoken to over HTTP only. What it assumes and leaves out is written in ``README.md``.
"""

from __future__ import annotations

import argparse
import os
import ssl
import time
from collections.abc import Collection
from pathlib import Path
from types import TracebackType

from codestream.sandbox.http_server import (
    HttpServer,
    Request,
    Response,
    html_response,
    json_response,
    text_response,
    wait_for_signal,
)
from codestream.sandbox.kubernetes_answers import (
    ApiError,
    method_not_allowed,
    unauthorized,
    unknown_path,
)
from codestream.sandbox.kubernetes_api import Api
from codestream.sandbox.kubernetes_cluster import Cluster
from codestream.sandbox.kubernetes_faults import Faults
from codestream.sandbox.kubernetes_page import cluster_page
from codestream.sandbox.kubernetes_pods import pod_log
from codestream.sandbox.kubernetes_reading import read_body
from codestream.sandbox.kubernetes_resources import PODS, VERSION, Target, discovery, parse_target
from codestream.sandbox.kubernetes_rights import REVIEWS, Logins, Rights
from codestream.sandbox.kubernetes_store import Store
from codestream.sandbox.kubernetes_watch import watch
from codestream.sandbox.state_file import StateFile

TOKEN_VARIABLE = "SANDBOX_KUBERNETES_TOKEN"  # noqa: S105  the name of a variable
ROLLOUT_SECONDS = 1.5
OPEN_TO_ALL = ("/version", "/healthz", "/readyz", "/livez")
PATCHES = {
    "application/apply-patch+yaml": "apply",
    "application/merge-patch+json": "merge",
    "application/strategic-merge-patch+json": "strategic",
}


class KubernetesServer:
    """A whole stand-in cluster: ``with KubernetesServer(token="…") as cluster: cluster.url``.

    Without ``state`` nothing outlives the server. ``rollout_seconds`` is about how long a
    rollout takes, ``answer_seconds`` how long an answer. Besides the token, a ``user`` with its
    password signs in, and over ``tls`` a client certificate that this trusts. The account lacks
    the ``forbidden`` rights.
    """

    def __init__(
        self,
        *,
        token: str,
        state: Path | None = None,
        port: int = 0,
        rollout_seconds: float = ROLLOUT_SECONDS,
        answer_seconds: float = 0.0,
        log: str = "",
        user: str = "",
        password: str = "",
        tls: ssl.SSLContext | None = None,
        forbidden: Collection[str] = (),
    ) -> None:
        self._logins = Logins(token=token, user=user, password=password)
        self._rights = Rights(forbidden)
        self._store = Store(StateFile(state))
        self._api = Api(self._store)
        self._cluster = Cluster(self._store, rollout_seconds=rollout_seconds)
        self._faults = Faults()
        self._answer_seconds = answer_seconds
        self._http = HttpServer(self, port=port, log=log, tls=tls)

    @property
    def url(self) -> str:
        """The base URL, without a final slash."""
        return self._http.url

    def __enter__(self) -> KubernetesServer:
        self._cluster.start()
        self._http.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._store.close()
        self._http.stop()
        self._cluster.join()

    def hang_up(self) -> None:
        """End every open connection, as something between client and server may."""
        self._http.hang_up()

    def __call__(self, request: Request) -> Response:
        """Answer one request."""
        try:
            return self._answer(request)
        except ApiError as refusal:
            return json_response(refusal.status(), refusal.code, refusal.headers)

    def _answer(self, request: Request) -> Response:
        if request.path == "/" and request.method == "GET":
            return html_response(cluster_page(self._store))
        if request.path.startswith("/_control/"):
            return self._control(request)
        time.sleep(self._answer_seconds)
        self._check_login(request)
        if request.path == "/version":
            major, minor, _ = VERSION.removeprefix("v").split(".")
            return json_response({"major": major, "minor": minor, "gitVersion": VERSION})
        if request.path in OPEN_TO_ALL:
            return text_response("ok")
        if (request.method, request.path) == ("POST", REVIEWS):
            return json_response(self._rights.review(read_body(request.body)), 201)
        document = discovery(request.path)
        if document is not None:
            return json_response(document)
        if request.path.endswith("/log"):
            return self._log(request)
        target = parse_target(request.path)
        if target is None:
            raise unknown_path()
        return self._serve(request, target)

    def _log(self, request: Request) -> Response:
        """The log of a pod; ``tailLines`` is all that is heeded."""
        target = parse_target(request.path.removesuffix("/log"))
        if target is None or target.resource != PODS:
            raise unknown_path()
        self._faults.meet("log", target.resource.name)
        lines = pod_log(self._api.get(target)).splitlines(keepends=True)
        wanted = int(request.query.get("tailLines") or len(lines))
        return text_response("".join(lines[-wanted:]))

    def _check_login(self, request: Request) -> None:
        """A wrong token is refused everywhere, a missing one where something could be seen."""
        is_anonymous = "Authorization" not in request.headers
        if is_anonymous and request.path in OPEN_TO_ALL:
            return
        if not self._logins.accept(request):
            raise unauthorized()

    def _serve(self, request: Request, target: Target) -> Response:
        verb = _verb(request, target)
        self._faults.meet(verb, target.resource.name)
        self._rights.check(verb, target)
        if verb in ("get", "list", "watch"):
            return self._read(request, target, verb)
        response = self._write(request, target, verb)
        self._store.save()
        return response

    def _read(self, request: Request, target: Target, verb: str) -> Response:
        if verb == "watch":
            return Response(chunks=watch(self._store, target, request.query))
        if verb == "list":
            return json_response(self._api.list(target, request.query))
        return json_response(self._api.get(target))

    def _write(self, request: Request, target: Target, verb: str) -> Response:
        query = request.query
        if verb == "delete":
            # With a body, the options in the query string count for nothing.
            options = read_body(request.body) if request.body else {}
            wanted = options.get("preconditions", {})
            return json_response(self._api.delete(target, {} if request.body else query, wanted))
        body = read_body(request.body)
        agent = request.headers.get("User-Agent", "")
        if verb == "create":
            return json_response(self._api.create(target, body, query, agent), 201)
        if verb == "apply":
            applied, is_new = self._api.apply(target, body, query)
            return json_response(applied, 201 if is_new else 200)
        strategic = _patch_kind(request) == "strategic"
        return json_response(self._api.patch(target, body, query, agent, strategic=strategic))

    def _control(self, request: Request) -> Response:
        if (request.method, request.path) == ("GET", "/_control/requests"):
            return json_response(self._faults.counts())
        if (request.method, request.path) == ("POST", "/_control/fail"):
            self._faults.add(read_body(request.body))
            return json_response({}, 201)
        raise unknown_path()


def _verb(request: Request, target: Target) -> str:
    """The API verb of a request, with ``apply`` told apart from other patches."""
    if target.name:
        verbs = {"GET": "get", "PATCH": "patch", "DELETE": "delete"}
    else:
        verbs = {"GET": "list", "POST": "create"}
    verb = verbs.get(request.method)
    if verb is None or (verb == "create" and target.resource.namespaced and not target.namespace):
        raise method_not_allowed()
    if verb == "patch" and _patch_kind(request) == "apply":
        return "apply"
    is_watch = verb == "list" and request.query.get("watch", "").lower() in ("true", "1")
    return "watch" if is_watch else verb


def _patch_kind(request: Request) -> str:
    content_type = request.headers.get_content_type()
    if content_type not in PATCHES:
        message = "the body of the request was in an unknown format - accepted media types "
        message += f"include: {', '.join(PATCHES)}"
        raise ApiError(415, "UnsupportedMediaType", message)
    return PATCHES[content_type]


def _given(what: str, otherwise: float) -> float:
    """What the environment says, where a supervisor starts this."""
    return float(os.environ.get(f"SANDBOX_KUBERNETES_{what}_SECONDS", otherwise))


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(description="A stand-in for a Kubernetes API server.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--state", type=Path, help="the file that keeps the cluster")
    parser.add_argument("--rollout-seconds", type=float, default=_given("ROLLOUT", ROLLOUT_SECONDS))
    parser.add_argument("--answer-seconds", type=float, default=_given("ANSWER", 0.0))
    options = parser.parse_args()
    token = os.environ.get(TOKEN_VARIABLE, "")
    if not token:
        parser.error(f"set {TOKEN_VARIABLE} to the bearer token that is to be accepted")
    with KubernetesServer(
        token=token,
        state=options.state,
        port=options.port,
        rollout_seconds=options.rollout_seconds,
        answer_seconds=options.answer_seconds,
        log="kubernetes",
    ):
        wait_for_signal()


if __name__ == "__main__":
    main()
