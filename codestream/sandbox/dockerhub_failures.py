"""The failures of the Docker Hub stand-in that a test or a person switches on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from enum import StrEnum

from codestream.sandbox.http_server import (
    ConnectionDropped,
    Response,
    html_response,
    json_response,
    text_response,
)

RETRY_SECONDS = 30


class Mode(StrEnum):
    """How a call fails."""

    ANSWER_LOST = "answer-lost"
    RESET = "reset"
    FAULT = "500"
    BAD_GATEWAY = "502-html"
    UNAVAILABLE = "503"
    RATE_LIMIT = "429"
    RATE_LIMIT_SECONDS = "429-seconds"
    RATE_LIMIT_TEXT = "429-text"
    CLOUDFLARE = "cloudflare-403"
    UNAUTHORIZED = "401"
    FORBIDDEN = "403"
    NOT_FOUND_HTML = "404-html"
    NOT_JSON = "not-json"
    NO_SLUG = "no-slug"


class Failures:
    """What the next calls are to suffer, by route: ``fail("create", Mode.FAULT, times=2)``."""

    def __init__(self) -> None:
        self._planned: list[tuple[str, Mode]] = []
        self._lock = threading.Lock()

    def fail(self, route: str, mode: Mode, *, times: int = 1) -> None:
        """Let the next ``times`` calls of ``route`` (``*`` is any) fail."""
        with self._lock:
            self._planned += [(route, mode)] * times

    def clear(self) -> None:
        """Let every call succeed again."""
        with self._lock:
            self._planned.clear()

    def suffer(self, route: str, work: Callable[[], Response]) -> Response:
        """Do the work, or fail in its place, or lose its answer, as planned."""
        mode = self._next(route)
        if mode is None:
            return work()
        if mode is Mode.RESET:
            raise ConnectionDropped
        if mode is Mode.ANSWER_LOST:
            work()
            raise ConnectionDropped
        if mode is Mode.NO_SLUG:
            work()
            return json_response({"name": "x"}, 201)
        return _answer(mode)

    def _next(self, route: str) -> Mode | None:
        with self._lock:
            for index, (planned, mode) in enumerate(self._planned):
                if planned in (route, "*"):
                    del self._planned[index]
                    return mode
        return None


def cloudflare_block() -> Response:
    """The answer of the protection in front of Docker Hub to a client it does not like."""
    return text_response("error code: 1010", 403, headers={"Server": "cloudflare"})


def _answer(mode: Mode) -> Response:
    limit = {"detail": "Rate limit exceeded", "error": False}
    answers: dict[Mode, Callable[[], Response]] = {
        Mode.FAULT: lambda: json_response({"message": "internal error"}, 500),
        Mode.BAD_GATEWAY: lambda: html_response("<html><h1>502 Bad Gateway</h1></html>", 502),
        Mode.UNAVAILABLE: lambda: Response(status=503),
        Mode.RATE_LIMIT: lambda: json_response(
            limit, 429, {"X-Retry-After": str(int(time.time()) + RETRY_SECONDS)}
        ),
        Mode.RATE_LIMIT_SECONDS: lambda: json_response(
            limit, 429, {"Retry-After": str(RETRY_SECONDS)}
        ),
        Mode.RATE_LIMIT_TEXT: lambda: text_response("Too Many Requests (HAP429).", 429),
        Mode.CLOUDFLARE: cloudflare_block,
        Mode.UNAUTHORIZED: lambda: json_response({"detail": "Token is expired"}, 401),
        Mode.FORBIDDEN: lambda: json_response(
            {
                "errinfo": {},
                "message": "access to the resource is forbidden with personal access token",
            },
            403,
        ),
        Mode.NOT_FOUND_HTML: lambda: html_response("<!DOCTYPE html><h1>404</h1>", 404),
        Mode.NOT_JSON: lambda: html_response("<html>welcome</html>"),
    }
    return answers[mode]()
