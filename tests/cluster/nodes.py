"""Plays the nodes of the cluster: pods live as those of the stand-in do, and have logs.

A real kubelet needs a container runtime. What it writes through the API is all that a client
of the API sees, so that is written here; controllers and scheduler are the real ones.
"""

from __future__ import annotations

import json
import ssl
import sys
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from http.client import HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.error import HTTPError
from urllib.parse import parse_qs, urlsplit
from urllib.request import Request, urlopen

from codestream.sandbox.kubernetes_pods import (
    event_of,
    pod_log,
    pod_status,
    waiting_reason,
)
from tests.cluster.certificates import Identity, server_context

NODE = "node-1"
LIFE_SECONDS = 1.0
PAUSE_SECONDS = 0.1
MERGE = "application/merge-patch+json"


class Api:
    """Plain calls of one administrator."""

    def __init__(self, url: str, token: str, ca: bytes) -> None:
        self._url = url
        self._token = token
        self._context = ssl.create_default_context(cadata=ca.decode())

    def call(
        self, method: str, path: str, body: Any = None, content_type: str = "application/json"
    ) -> Any:
        """The JSON answer. Raises HTTPError."""
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": content_type}
        data = None if body is None else json.dumps(body).encode()
        request = Request(self._url + path, data=data, headers=headers, method=method)
        with urlopen(request, context=self._context, timeout=10) as answer:
            return json.load(answer)

    def is_ready(self) -> bool:
        """Whether the server is up and has made its first objects."""
        try:
            self.call("GET", "/api/v1/namespaces/default")
        except (HTTPException, OSError):
            return False
        return True


class Nodes:
    """One node with four CPUs, its pods, and the port on which their logs are read."""

    def __init__(self, api: Api, identity: Identity, *, port: int) -> None:
        self._api = api
        self._port = port
        self._stopping = threading.Event()
        self._first_seen: dict[str, float] = {}
        self._thread = threading.Thread(target=self._run, name="nodes")
        self._logs = _log_server(api, identity, port)

    def __enter__(self) -> Nodes:
        self._register()
        self._thread.start()
        threading.Thread(target=self._logs.serve_forever, name="logs").start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopping.set()
        self._logs.shutdown()
        self._logs.server_close()
        self._thread.join()

    def _register(self) -> None:
        room = {"cpu": "4", "memory": "8Gi", "pods": "1000"}
        metadata = {"name": NODE, "labels": {"kubernetes.io/hostname": NODE}}
        self._api.call(
            "POST", "/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": metadata}
        )
        status = {
            "capacity": room,
            "allocatable": room,
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": self._port}},
            "conditions": [{"type": "Ready", "status": "True", "lastHeartbeatTime": _now()}],
        }
        self._api.call("PATCH", f"/api/v1/nodes/{NODE}/status", {"status": status}, MERGE)

    def _run(self) -> None:
        while not self._stopping.wait(PAUSE_SECONDS):
            # Without an answer nothing is known: a server may be killed and come back.
            with suppress(HTTPException, OSError):
                pods = self._api.call("GET", f"/api/v1/pods?fieldSelector=spec.nodeName={NODE}")
                for pod in pods["items"]:
                    self._grow_if_there(pod)

    def _grow_if_there(self, pod: Any) -> None:
        try:
            self._grow(pod)
        except HTTPError as error:
            # Gone, changed, or its namespace is going: the next look sees it.
            if error.code not in (403, 404, 409):
                print(f"{pod['metadata']['name']}: {error}: {error.read()!r}", file=sys.stderr)

    def _grow(self, pod: Any) -> None:
        meta = pod["metadata"]
        path = f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}"
        if "deletionTimestamp" in meta:
            self._api.call("DELETE", path, {"gracePeriodSeconds": 0})
            return
        age = (time.monotonic() - self._first_seen.setdefault(meta["uid"], time.monotonic())) / (
            LIFE_SECONDS
        )
        status = pod_status(pod, age, started_at=meta["creationTimestamp"])
        if _stands(pod.get("status", {}), status):
            return
        _date(status["conditions"], pod.get("status", {}).get("conditions", []))
        self._api.call("PATCH", f"{path}/status", {"status": status}, MERGE)
        grown = pod | {"status": status}
        if waiting_reason(grown) != waiting_reason(pod):
            self._tell(grown)

    def _tell(self, pod: Any) -> None:
        kind, reason, message = event_of(pod)
        meta = pod["metadata"]
        about = {"apiVersion": "v1", "kind": "Pod"}
        about |= {name: meta[name] for name in ("name", "namespace", "uid")}
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"generateName": f"{meta['name']}.", "namespace": meta["namespace"]},
            "involvedObject": about,
            "reason": reason,
            "message": message,
            "type": kind,
            "count": 1,
            "firstTimestamp": _now(),
            "lastTimestamp": _now(),
            "source": {"component": "kubelet", "host": NODE},
        }
        self._api.call("POST", f"/api/v1/namespaces/{meta['namespace']}/events", event)


def _log_server(api: Api, identity: Identity, port: int) -> ThreadingHTTPServer:
    """The kubelet's door for logs: ``/containerLogs/<namespace>/<pod>/<container>``."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            _, _, namespace, name, _ = parts.path.split("/")
            pod = api.call("GET", f"/api/v1/namespaces/{namespace}/pods/{name}")
            lines = pod_log(pod).splitlines(keepends=True)
            wanted = parse_qs(parts.query).get("tailLines", [str(len(lines))])[0]
            body = "".join(lines[-int(wanted) :]).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    context = server_context(identity)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    return server


def _date(conditions: Any, before: Any) -> None:
    """Say since when each holds: without that no pod is ever ready for long enough."""
    since = {(each["type"], each["status"]): each.get("lastTransitionTime") for each in before}
    for each in conditions:
        each["lastTransitionTime"] = since.get((each["type"], each["status"])) or _now()


def _stands(present: Any, wanted: Any) -> bool:
    """Whether everything wanted is there already; the server adds fields of its own."""
    if isinstance(wanted, dict):
        return isinstance(present, dict) and all(
            _stands(present.get(key), value) for key, value in wanted.items() if value not in ({},)
        )
    if isinstance(wanted, list):
        return (
            isinstance(present, list)
            and len(present) == len(wanted)
            and all(map(_stands, present, wanted))
        )
    return bool(present == wanted) or (wanted in (False, 0, "") and present is None)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
