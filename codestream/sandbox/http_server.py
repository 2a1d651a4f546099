"""The small HTTP server under both stand-ins: requests, answers, routes, start and stop.

It knows nothing of Docker Hub or Kubernetes; their state and answers live beside it.
"""

from __future__ import annotations

import json
import re
import signal
import socket
import ssl
import struct
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]

MAX_BODY = 4 * 1024 * 1024
IDLE_SECONDS = 60


class ConnectionDropped(Exception):
    """Raised by an application: close the connection without any answer, as a crash would."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request: ``path`` is still percent-encoded, ``base_url`` the origin the client used.

    ``has_certificate`` says that the client showed one that the server trusts.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Message
    body: bytes
    base_url: str
    has_certificate: bool = False

    def json(self) -> Json:
        """The body as JSON. Raises ValueError when it is none."""
        parsed: Json = json.loads(self.body)
        return parsed

    def form(self) -> dict[str, str]:
        """The body as an HTML form."""
        return dict(parse_qsl(self.body.decode(errors="replace"), keep_blank_values=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """One answer. With ``chunks`` the body is sent piece by piece as the iterator yields it.

    One that ``is_cut_off`` ends with the connection, short of the length that its headers announce.
    """

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    chunks: Iterable[bytes] | None = None
    is_cut_off: bool = False


def json_response(
    value: object, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """An answer with ``value`` as JSON."""
    return Response(status=status, body=json.dumps(value).encode(), headers=headers or {})


def text_response(
    text: str,
    status: int = 200,
    *,
    content_type: str = "text/plain; charset=utf-8",
    headers: Mapping[str, str] | None = None,
) -> Response:
    """An answer with plain text, or HTML when ``content_type`` says so."""
    return Response(
        status=status, body=text.encode(), content_type=content_type, headers=headers or {}
    )


def html_response(page: str, status: int = 200) -> Response:
    """An HTML page."""
    return text_response(page, status, content_type="text/html; charset=utf-8")


def redirect_response(location: str, status: int = 303) -> Response:
    """An answer without a body that names another place."""
    return Response(status=status, headers={"Location": location})


Application = Callable[[Request], Response]
Route = Callable[..., Response]


class Router:
    """An application made of routes: ``router.add("GET", "/v2/{name}/", answer)``.

    A ``{name}`` matches one path segment and arrives, percent-decoded, as a keyword argument
    after the request.
    """

    def __init__(self) -> None:
        self._routes: list[tuple[str, re.Pattern[str], Route]] = []

    def add(self, method: str, pattern: str, answer: Route) -> None:
        """Let ``answer`` serve ``method`` on paths of the form ``pattern``."""
        expression = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(pattern))
        self._routes.append((method, re.compile(expression), answer))

    def __call__(self, request: Request) -> Response:
        """Answer by the first matching route; 404 without a path, 405 without its method."""
        allowed = []
        for method, expression, answer in self._routes:
            if match := expression.fullmatch(request.path):
                if method == request.method:
                    return answer(
                        request, **{key: unquote(text) for key, text in match.groupdict().items()}
                    )
                allowed.append(method)
        if not allowed:
            return json_response({"detail": "Not found."}, 404)
        return json_response(
            {"detail": f'Method "{request.method}" not allowed.'},
            405,
            {"Allow": ", ".join(sorted(set(allowed)))},
        )


class _Exchange(BaseHTTPRequestHandler):
    """One connection: turns what arrives into a Request and a Response into bytes."""

    protocol_version = "HTTP/1.1"
    server_version = "stand-in"
    sys_version = ""
    timeout = IDLE_SECONDS
    disable_nagle_algorithm = True
    server: _Server

    def _serve(self) -> None:
        try:
            self._send(self._answer())
        except ConnectionDropped:
            self._reset()
        except ConnectionError:
            self.close_connection = True

    def _answer(self) -> Response:
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not length.isdecimal():
            self.close_connection = True
            return json_response({"message": "Content-Length is required"}, 411)
        if int(length) > MAX_BODY:
            self.close_connection = True
            return json_response({"message": "The body is too large"}, 413)
        return self.server.application(self._request(int(length)))

    def _request(self, length: int) -> Request:
        target = urlsplit(self.path)
        host = self.headers.get("Host") or "{}:{}".format(*self.server.server_address[:2])
        return Request(
            method=self.command,
            path=target.path,
            query=dict(parse_qsl(target.query, keep_blank_values=True)),
            headers=self.headers,
            body=self.rfile.read(length),
            base_url=f"{self.server.scheme}://{host}",
            has_certificate=self._has_certificate(),
        )

    def _has_certificate(self) -> bool:
        connection = self.connection
        return isinstance(connection, ssl.SSLSocket) and bool(connection.getpeercert(True))

    def _send(self, response: Response) -> None:
        self.send_response(response.status)
        for name, value in response.headers.items():
            self.send_header(name, value)
        if response.chunks is not None:
            self._send_chunks(response.chunks, response.content_type)
            return
        if response.body:
            self.send_header("Content-Type", response.content_type)
        if response.is_cut_off:
            self.close_connection = True
        elif response.status != HTTPStatus.NO_CONTENT:
            self.send_header("Content-Length", str(len(response.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(response.body)

    def _send_chunks(self, chunks: Iterable[bytes], content_type: str) -> None:
        self.send_header("Content-Type", content_type)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for chunk in chunks:
            self.wfile.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")

    def _reset(self) -> None:
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def log_request(self, code: int | str = "-", _size: int | str = "-") -> None:
        """One line per request, without the query string, which may carry a token."""
        if self.server.log:
            status = code.value if isinstance(code, HTTPStatus) else code
            path = urlsplit(self.path).path
            sys.stderr.write(f"{self.server.log} {self.command} {path} {status}\n")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the inherited name
        """Protocol complaints (a time-out of an idle connection, a bad request line) are noise."""

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815


class _Server(ThreadingHTTPServer):
    """Knows its open connections, so that stopping does not wait for a client to hang up."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self,
        address: tuple[str, int],
        application: Application,
        log: str,
        tls: ssl.SSLContext | None,
    ) -> None:
        self.application = application
        self.log = log
        self._tls = tls
        self._open: set[socket.socket] = set()
        super().__init__(address, _Exchange)

    @property
    def scheme(self) -> str:
        """How its address begins."""
        return "https" if self._tls else "http"

    def get_request(self) -> tuple[Any, Any]:
        """Accept a connection; its thread does the handshake, which a client may delay."""
        connection, address = super().get_request()
        if self._tls is None:
            return connection, address
        secured = self._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return secured, address

    def process_request(self, request: Any, client_address: Any) -> None:
        """Note the connection, then serve it in a thread of its own."""
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Forget the connection and close it."""
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news; anything else is shown by the base class."""
        if not isinstance(sys.exception(), (ConnectionError, ssl.SSLError)):
            super().handle_error(request, client_address)

    def hang_up(self) -> None:
        """End every open connection."""
        for connection in tuple(self._open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                self._open.discard(connection)


class HttpServer:
    """Serves an application on a thread of its own: ``with HttpServer(app) as server: server.url``.

    Port 0 takes a free one. ``log`` is the first word of the log lines; empty means no log. With
    ``tls`` it speaks HTTPS.
    """

    def __init__(
        self,
        application: Application,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        log: str = "",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._server = _Server((host, port), application, log, tls)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )

    @property
    def url(self) -> str:
        """The base URL, without a final slash."""
        host, port = self._server.server_address[:2]
        return f"{self._server.scheme}://{host!s}:{port}"

    def start(self) -> None:
        """Begin to serve; returns at once."""
        self._thread.start()

    def hang_up(self) -> None:
        """End every open connection, and go on serving."""
        self._server.hang_up()

    def stop(self) -> None:
        """Stop serving, end open connections and free the port."""
        self._server.shutdown()
        self._server.hang_up()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> HttpServer:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def wait_for_signal() -> None:
    """Sleep until SIGTERM or SIGINT arrives: the body of a stand-in's ``main``."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    stop.wait()
