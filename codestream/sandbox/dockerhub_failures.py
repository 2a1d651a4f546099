"""The failures of the Docker Hub stand-in that a test or a person switches on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from enum import StrEnum

from codestream.sandbox.http_server import (
    ConnectionDropped,
    Response,
    html_response,
    json_response,
    text_response,
)

RETRY_SECONDS = 30
SLOW_SECONDS = 1.0
CUT_OFF_AFTER = 10
ADMIN_NEEDED = "You do not have permission to perform this action."
TOKEN_TOO_WEAK = "access to the resource is forbidden with personal access token"  # noqa: S105 - words


class Mode(StrEnum):
    """How a call fails."""

    ANSWER_LOST = "answer-lost"
    CUT_OFF = "cut-off"
    SLOW = "slow"
    RESET = "reset"
    FAULT = "500"
    FAULT_HTML = "500-html"
    FAULT_EMPTY = "500-empty"
    BAD_GATEWAY_JSON = "502-json"
    BAD_GATEWAY = "502-html"
    BAD_GATEWAY_EMPTY = "502-empty"
    UNAVAILABLE_JSON = "503-json"
    UNAVAILABLE_HTML = "503-html"
    UNAVAILABLE = "503"
    RATE_LIMIT = "429"
    RATE_LIMIT_SECONDS = "429-seconds"
    RATE_LIMIT_TEXT = "429-text"
    CLOUDFLARE = "cloudflare-403"
    CHALLENGE = "challenge-403"
    CHALLENGE_BUSY = "challenge-503"
    UNAUTHORIZED = "401"
    FORBIDDEN = "403"
    NOT_ADMINISTRATOR = "403-admin"
    NOT_FOUND = "404"
    NOT_FOUND_HTML = "404-html"
    NAME_TAKEN = "400-taken"
    NAME_TAKEN_CONFLICT = "409-taken"
    NOT_JSON = "not-json"
    NO_SLUG = "no-slug"
    LIST_MOVES = "list-moves"
    LIST_IS_OLD = "list-old"


Play = Callable[[], Response]


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

    def suffer(self, route: str, work: Play, own: Mapping[Mode, Play] | None = None) -> Response:
        """Do the work, or fail in its place, or lose its answer, as planned.

        ``own`` are the failures that only this route knows how to play.
        """
        mode = self._next(route)
        if mode is None:
            return work()
        plays = {**_around(work), **_in_place_of_it(), **(own or {})}
        return plays.get(mode, work)()

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


def not_found_page() -> Response:
    """Docker Hub's page for people, where an answer for programs was asked for."""
    return html_response("<!DOCTYPE html><h1>404</h1>", 404)


def name_taken(name: str, status: int) -> Response:
    """The answer to a create under a name that another webhook has."""
    return json_response({"name": [f"A hook with '{name}' name already exists"]}, status)


def _around(work: Play) -> dict[Mode, Play]:
    """The failures that hide that the work is done."""

    def lost() -> Response:
        work()
        raise ConnectionDropped

    def cut_off() -> Response:
        answer = work()
        announced = {"Content-Length": str(len(answer.body) + CUT_OFF_AFTER)}
        return Response(
            status=200 if answer.status == 204 else answer.status,
            body=answer.body[:CUT_OFF_AFTER] or b"{",
            content_type=answer.content_type,
            headers={**answer.headers, **announced},
            is_cut_off=True,
        )

    def slow() -> Response:
        answer = work()
        time.sleep(SLOW_SECONDS)
        return answer

    def without_slug() -> Response:
        work()
        return json_response({"name": "x"}, 201)

    return {
        Mode.ANSWER_LOST: lost,
        Mode.CUT_OFF: cut_off,
        Mode.SLOW: slow,
        Mode.NO_SLUG: without_slug,
    }


def _in_place_of_it() -> dict[Mode, Play]:
    """The failures that leave the work undone."""

    def reset() -> Response:
        raise ConnectionDropped

    limit = {"detail": "Rate limit exceeded", "error": False}
    fault = {"message": "internal error"}
    return {
        Mode.RESET: reset,
        Mode.FAULT: lambda: json_response(fault, 500),
        Mode.FAULT_HTML: lambda: html_response("<html><h1>Server Error (500)</h1></html>", 500),
        Mode.FAULT_EMPTY: lambda: Response(status=500),
        Mode.BAD_GATEWAY_JSON: lambda: json_response(fault, 502),
        Mode.BAD_GATEWAY: lambda: html_response("<html><h1>502 Bad Gateway</h1></html>", 502),
        Mode.BAD_GATEWAY_EMPTY: lambda: Response(status=502),
        Mode.UNAVAILABLE_JSON: lambda: json_response(fault, 503),
        Mode.UNAVAILABLE_HTML: lambda: html_response("<html><h1>503</h1></html>", 503),
        Mode.UNAVAILABLE: lambda: Response(status=503),
        Mode.RATE_LIMIT: lambda: json_response(
            limit, 429, {"X-Retry-After": str(int(time.time()) + RETRY_SECONDS)}
        ),
        Mode.RATE_LIMIT_SECONDS: lambda: json_response(
            limit, 429, {"Retry-After": str(RETRY_SECONDS)}
        ),
        Mode.RATE_LIMIT_TEXT: lambda: text_response("Too Many Requests (HAP429).", 429),
        Mode.CLOUDFLARE: cloudflare_block,
        Mode.CHALLENGE: lambda: _challenge(403),
        Mode.CHALLENGE_BUSY: lambda: _challenge(503),
        Mode.UNAUTHORIZED: lambda: json_response({"detail": "Token is expired"}, 401),
        Mode.FORBIDDEN: lambda: json_response({"errinfo": {}, "message": TOKEN_TOO_WEAK}, 403),
        Mode.NOT_ADMINISTRATOR: lambda: json_response({"detail": ADMIN_NEEDED}, 403),
        Mode.NOT_FOUND: lambda: json_response({"detail": "Object not found"}, 404),
        Mode.NOT_FOUND_HTML: not_found_page,
        Mode.NAME_TAKEN: lambda: name_taken("x", 400),
        Mode.NAME_TAKEN_CONFLICT: lambda: name_taken("x", 409),
        Mode.NOT_JSON: lambda: html_response("<html>welcome</html>"),
    }


def _challenge(status: int) -> Response:
    """The page by which the protection lets a browser prove that it is one."""
    page = (
        "<!DOCTYPE html><html><head><title>Just a moment...</title></head><body>"
        '<script src="/cdn-cgi/challenge-platform/orchestrate"></script></body></html>'
    )
    return text_response(
        page, status, content_type="text/html; charset=utf-8", headers={"Server": "cloudflare"}
    )
