"""A watch: the changes of one collection as JSON lines, as they happen."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

from codestream.sandbox.kubernetes_answers import gone
from codestream.sandbox.kubernetes_resources import Body, Target
from codestream.sandbox.kubernetes_selectors import Selector, parse_selector
from codestream.sandbox.kubernetes_store import Store

LONGEST_SECONDS = 300.0
PAUSE_SECONDS = 0.5
BOOKMARK_SECONDS = 60.0
LAST_BOOKMARK_SECONDS = 2.0
"""So long before its end a watch tells how far it is."""


def watch(store: Store, target: Target, query: Mapping[str, str]) -> Iterator[bytes]:
    """The lines until ``timeoutSeconds`` are over; without resourceVersion what is there first.

    A version before what the store remembers is answered with 200, as by real API servers, and an
    ERROR that holds the 410.
    """
    selector = parse_selector(query)
    start = query.get("resourceVersion", "")
    with store.lock:
        if not start.isdecimal() or start == "0":
            present = store.every(target.resource, target.namespace)
            revision = store.revision
        elif store.remembers(int(start)):
            present, revision = [], int(start)
        else:
            return iter([_line("ERROR", gone(int(start), store.revision).status())])
    seconds = float(query.get("timeoutSeconds") or LONGEST_SECONDS)
    first = [_line("ADDED", body) for body in present if selector.accepts(body)]
    marks = _Bookmarks(target, seconds, wanted=query.get("allowWatchBookmarks") == "true")
    until = time.monotonic() + seconds
    return chain(first, _lines(store, target, selector, revision, until, marks))


class _Bookmarks:
    """The lines that tell how far a watch is: every minute, and shortly before its end."""

    def __init__(self, target: Target, seconds: float, *, wanted: bool) -> None:
        self._resource = target.resource
        began = time.monotonic()
        last = began + max(seconds - LAST_BOOKMARK_SECONDS, 0)
        regular = [began + BOOKMARK_SECONDS * n for n in range(1, int(seconds // BOOKMARK_SECONDS))]
        self._times = [*regular, last] if wanted else []

    def due(self, revision: int) -> Iterator[bytes]:
        """The bookmark of this revision, where it is time for one."""
        if self._times and time.monotonic() >= self._times[0]:
            del self._times[0]
            kind = {"kind": self._resource.kind, "apiVersion": self._resource.api_version}
            metadata: Any = {"resourceVersion": str(revision), "creationTimestamp": None}
            yield _line("BOOKMARK", {**kind, "metadata": metadata})


def _lines(
    store: Store,
    target: Target,
    selector: Selector,
    revision: int,
    until: float,
    bookmarks: _Bookmarks,
) -> Iterator[bytes]:
    while (left := until - time.monotonic()) > 0 and not store.closed:
        for happening in store.wait(revision, min(left, PAUSE_SECONDS)):
            revision = happening.revision
            if _is_in(happening.target, target) and selector.accepts(happening.body):
                yield _line(happening.kind, happening.body)
        yield from bookmarks.due(revision)


def _is_in(place: Target, collection: Target) -> bool:
    same = place.resource == collection.resource
    return same and collection.namespace in ("", place.namespace)


def _line(kind: str, body: Body) -> bytes:
    return json.dumps({"type": kind, "object": body}).encode() + b"\n"
