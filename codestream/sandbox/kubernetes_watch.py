"""A watch: the changes of one collection as JSON lines, as they happen."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from itertools import chain

from codestream.sandbox.kubernetes_answers import gone
from codestream.sandbox.kubernetes_resources import Body, Target
from codestream.sandbox.kubernetes_selectors import Selector, parse_selector
from codestream.sandbox.kubernetes_store import Store

LONGEST_SECONDS = 300.0
PAUSE_SECONDS = 0.5


def watch(store: Store, target: Target, query: Mapping[str, str]) -> Iterator[bytes]:
    """The lines until ``timeoutSeconds`` are over; without resourceVersion what is there first.

    Raises ApiError 410 when the version lies before what the store remembers.
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
            raise gone(int(start), store.revision)
    until = time.monotonic() + float(query.get("timeoutSeconds") or LONGEST_SECONDS)
    first = [_line("ADDED", body) for body in present if selector.accepts(body)]
    return chain(first, _lines(store, target, selector, revision, until))


def _lines(
    store: Store,
    target: Target,
    selector: Selector,
    revision: int,
    until: float,
) -> Iterator[bytes]:
    while (left := until - time.monotonic()) > 0 and not store.closed:
        for happening in store.wait(revision, min(left, PAUSE_SECONDS)):
            revision = happening.revision
            if _is_in(happening.target, target) and selector.accepts(happening.body):
                yield _line(happening.kind, happening.body)


def _is_in(place: Target, collection: Target) -> bool:
    same = place.resource == collection.resource
    return same and collection.namespace in ("", place.namespace)


def _line(kind: str, body: Body) -> bytes:
    return json.dumps({"type": kind, "object": body}).encode() + b"\n"
