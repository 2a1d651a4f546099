"""A watch under way: its lines as they arrive, until the cluster or somebody else ends it.

https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from urllib3.exceptions import HTTPError

from codestream.core.json_types import Json
from endpoints.clients.base import ClientError, Protocol
from endpoints.clients.kubernetes_errors import error_of
from endpoints.clients.kubernetes_marks import Mark, mark_of
from endpoints.clients.kubernetes_objects import int_at, text_at, value_at

PIECE = 64 * 1024
LONGEST_LINE = 4 * 1024 * 1024


class Watch:
    """Goes over ADDED, MODIFIED, DELETED and BOOKMARK: ``for kind, mark in watch``.

    A bookmark only tells how far the watch is. Raises a ClientError when the watch breaks, or when
    the cluster ends it with an error, as it does where a version is too old.
    """

    def __init__(self, *, response: Any, unreachable: Callable[[Exception], ClientError]) -> None:
        self._response = response
        self._unreachable = unreachable

    def __iter__(self) -> Iterator[tuple[str, Mark]]:
        try:
            for line in self._lines():
                yield _event(line)
        except HTTPError as error:
            raise self._unreachable(error) from error
        finally:
            self._response.close()

    def close(self) -> None:
        """End it from any thread, even while another one waits for the next line."""
        # Nothing is left to be ended where the answer is over.
        with suppress(RuntimeError, ValueError, OSError):
            self._response.shutdown()

    def _lines(self) -> Iterator[bytes]:
        rest = b""
        # ``stream`` would gather whole pieces where the answer comes without chunks.
        while piece := self._response.read1(PIECE):
            *lines, rest = (rest + piece).split(b"\n")
            yield from lines
            if len(rest) > LONGEST_LINE:
                raise Protocol(f"A watch sent a line of more than {LONGEST_LINE} bytes.")


def _event(line: bytes) -> tuple[str, Mark]:
    try:
        event: Json = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise Protocol("A watch sent a line that is not JSON.") from error
    kind, body = text_at(event, "type"), value_at(event, "object")
    if not kind or kind == "ERROR" or not isinstance(body, dict):
        raise error_of(int_at(body, "code", default=500), json.dumps(body).encode())
    return kind, mark_of(body)
