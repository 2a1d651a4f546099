"""A cluster that takes no time: it keeps the objects it is sent and says that they are rolled out.

It speaks as much of the API as the product's client asks for, for a few kinds. What a cluster
refuses is for ``codestream.sandbox.kubernetes``; here nothing but the product should cost time.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlsplit

KINDS: Mapping[str, Mapping[str, str]] = {
    "/api/v1": {"services": "Service", "pods": "Pod"},
    "/apis/apps/v1": {"deployments": "Deployment", "replicasets": "ReplicaSet"},
}
PLURALS = frozenset(plural for kinds in KINDS.values() for plural in kinds)
Body = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request, and when its first bytes had come, by the clock."""

    at: float
    method: str
    path: str


class InstantCluster:
    """Serves on a thread of its own: ``with InstantCluster() as cluster: cluster.url``.

    Where it is not ``ready``, rollouts never come to an end.
    """

    def __init__(self, *, ready: bool = True) -> None:
        self.calls: list[Call] = []
        self._ready = ready
        self._objects: dict[str, Body] = {}
        self._version = 0
        self._watching: dict[_Exchange, str] = {}
        self.connections: set[asyncio.BaseTransport] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> InstantCluster:
        self._thread.start()
        serving = self._loop.create_server(lambda: _Exchange(self), "127.0.0.1", 0, backlog=1024)
        self._server = asyncio.run_coroutine_threadsafe(serving, self._loop).result()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._hang_up)
        self._thread.join()
        self._loop.close()

    def _hang_up(self) -> None:
        """Close what clients keep open, too."""
        self._server.close()
        for connection in tuple(self.connections):
            connection.close()
        # What was closed above is let go of in the next round.
        self._loop.call_soon(self._loop.stop)

    @property
    def place(self) -> str:
        """Host and port, as OUTGOING_ALLOW names them."""
        host, port = self._server.sockets[0].getsockname()
        return f"{host}:{port}"

    @property
    def url(self) -> str:
        return f"http://{self.place}"

    def hold(self, path: str, manifest: Body) -> int:
        """Keep an object at its path; return the status for who sent it: 201 when it is new."""
        status = 200 if path in self._objects else 201
        self._version += 1
        made = self._rolled_out(manifest)
        made = {**made, "metadata": made["metadata"] | {"resourceVersion": str(self._version)}}
        self._objects[path] = made
        event = {"type": "ADDED" if status == 201 else "MODIFIED", "object": made}
        self._loop.call_soon_threadsafe(self._tell, path.rpartition("/")[0], event)
        return status

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, Body]:
        """Return status and body."""
        if method in {"POST", "PATCH"}:
            manifest = json.loads(body)
            if method == "POST":
                path = f"{path}/{manifest['metadata']['name']}"
            return self.hold(path, manifest), self._objects[path]
        if path in KINDS:
            resources = [
                {"name": plural, "kind": kind, "namespaced": True}
                for plural, kind in KINDS[path].items()
            ]
            return 200, {"kind": "APIResourceList", "resources": resources}
        if path in self._objects:
            return 200, self._objects[path]
        if path.rpartition("/")[2] in PLURALS:
            items = [body for at, body in self._objects.items() if at.rpartition("/")[0] == path]
            version = {"resourceVersion": str(self._version)}
            return 200, {"kind": "List", "metadata": version, "items": items}
        return 404, {"kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404}

    def watch(self, exchange: _Exchange, path: str) -> None:
        """Tell the exchange from now on what happens in a collection."""
        self._watching[exchange] = path

    def ignore(self, exchange: _Exchange) -> None:
        """Tell it no more."""
        self._watching.pop(exchange, None)

    def _tell(self, path: str, event: Body) -> None:
        for exchange, watched in tuple(self._watching.items()):
            if watched == path:
                exchange.send_chunk(json.dumps(event).encode() + b"\n")

    def _rolled_out(self, manifest: Body) -> Body:
        if manifest["kind"] != "Deployment":
            return manifest
        pods = manifest["spec"].get("replicas", 1)
        metadata = {**manifest["metadata"], "uid": "1", "generation": 1}
        status = {"observedGeneration": 1, "replicas": pods, "updatedReplicas": pods}
        status["readyReplicas"] = status["availableReplicas"] = pods if self._ready else 0
        return {**manifest, "metadata": metadata, "status": status}


class _Exchange(asyncio.Protocol):
    """The requests of one connection, one after another."""

    def __init__(self, cluster: InstantCluster) -> None:
        self._cluster = cluster
        self._heard = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._cluster.connections.add(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._cluster.connections.discard(self._transport)
        self._cluster.ignore(self)

    def data_received(self, data: bytes) -> None:
        arrived = time.time()
        self._heard += data
        head, found, rest = self._heard.partition(b"\r\n\r\n")
        length = _length(head)
        if not found or len(rest) < length:
            return
        self._heard = rest[length:]
        method, target, _version = head.decode("latin-1").split("\r\n", 1)[0].split(" ")
        path, query = urlsplit(target).path, parse_qs(urlsplit(target).query)
        self._cluster.calls.append(Call(at=arrived, method=method, path=path))
        if query.get("watch") == ["true"]:
            self._watch(path, float(query["timeoutSeconds"][0]))
            return
        status, body = self._cluster.answer(method, path, rest[:length])
        text = json.dumps(body).encode()
        answer = f"HTTP/1.1 {status} \r\nContent-Type: application/json\r\n"
        self._write(f"{answer}Content-Length: {len(text)}\r\n\r\n".encode() + text)

    def send_chunk(self, text: bytes) -> None:
        """Send a piece of the answer to a watch; an empty one ends it."""
        self._write(b"%x\r\n%b\r\n" % (len(text), text))

    def _watch(self, path: str, seconds: float) -> None:
        head = "HTTP/1.1 200 \r\nContent-Type: application/json\r\n"
        self._write(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        self._cluster.watch(self, path)
        asyncio.get_running_loop().call_later(seconds, self._end_watch)

    def _end_watch(self) -> None:
        self._cluster.ignore(self)
        if not self._transport.is_closing():
            self.send_chunk(b"")

    def _write(self, text: bytes) -> None:
        assert isinstance(self._transport, asyncio.WriteTransport)  # noqa: S101 - it is a socket
        self._transport.write(text)


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    return 0
