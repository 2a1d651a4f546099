"""An HTTP proxy on loopback: tunnels and forwards, may ask for an account, notes what it was asked.

It leads every call to the one server behind it, whatever the name: only the proxy knows names here.
"""

from __future__ import annotations

import base64
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


@dataclass
class Proxy:
    """What it leads to, whom it lets through, and what it was asked so far."""

    behind: tuple[str, int]
    account: str = ""
    refusal: int = 0
    url: str = ""
    asked: list[str] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)

    def status(self, authorization: str) -> int:
        """The status of a refusal, 0 where there is none."""
        wanted = f"Basic {base64.b64encode(self.account.encode()).decode()}"
        return 407 if self.account and authorization != wanted else self.refusal


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def _connect(self) -> None:
        proxy = self.server.proxy
        proxy.asked.append(f"CONNECT {self.path}")
        proxy.heads.append(str(self.headers))
        self.close_connection = True
        if status := proxy.status(self.headers.get("Proxy-Authorization", "")):
            self.send_error(status)
            return
        with socket.create_connection(proxy.behind) as behind:
            self.send_response(200)
            self.end_headers()
            back = threading.Thread(target=_pump, args=(behind, self.connection), daemon=True)
            back.start()
            _pump(self.connection, behind)
            back.join()

    def _forward(self) -> None:
        proxy = self.server.proxy
        proxy.asked.append(f"{self.command} {self.path}")
        proxy.heads.append(str(self.headers))
        self.close_connection = True
        if status := proxy.status(self.headers.get("Proxy-Authorization", "")):
            self.send_error(status)
            return
        place = urlsplit(self.path)
        target = place.path + (f"?{place.query}" if place.query else "")
        kept = [f"{name}: {value}" for name, value in self.headers.items() if name[:5] != "Proxy"]
        head = "\r\n".join([f"{self.command} {target} HTTP/1.1", *kept, "Connection: close"])
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with socket.create_connection(proxy.behind) as behind, behind.makefile("rb") as answer:
            behind.sendall(head.encode() + b"\r\n\r\n" + body)
            self.wfile.write(answer.readline() + b"Connection: close\r\n")
            length = 0
            while (line := answer.readline()) != b"\r\n":
                name, _, value = line.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
                self.wfile.write(line)
            self.wfile.write(line + answer.read(length))

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the inherited name
        """Say nothing."""

    do_CONNECT = _connect  # noqa: N815
    do_GET = do_POST = do_PATCH = do_DELETE = _forward  # noqa: N815


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    proxy: Proxy


@contextmanager
def running_proxy(url: str, *, account: str = "", refusal: int = 0) -> Iterator[Proxy]:
    """A proxy in front of the server at ``url``; ``account`` is ``name:password``."""
    place = urlsplit(url)
    proxy = Proxy(
        behind=(str(place.hostname), int(place.port or 0)), account=account, refusal=refusal
    )
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.proxy = proxy
        proxy.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield proxy
        finally:
            server.shutdown()
            thread.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(65536):
            sink.sendall(piece)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
