"""Live parts of pages: how often a part asks again, and whether there is anything new to send."""

from __future__ import annotations

import hashlib

from django.http import HttpRequest

from codestream.core.pages import wants_fragment

NOTHING_NEW = 204
"""The answer to somebody who has seen it all; HTMX then leaves the page as it is."""
WHILE_MOVING = "every 500ms"
"""For what is written as soon as it happens, to be seen within a second."""
WHILE_LIVE = "every 1s"
WHILE_QUIET = "every 2s"
"""For the newest page of a list, where something new may appear at any time."""


def version_of(*parts: object) -> str:
    """A short text that changes with what ``parts`` hold; each must have a stable ``repr``."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def unchanged(request: HttpRequest, version: str) -> bool:
    """Whether a fragment is asked for by somebody who has seen this very version."""
    return wants_fragment(request) and request.GET.get("version") == version


def rhythm(*, live: bool, newest: bool) -> str:
    """How often a page of a list asks again, as HTMX writes it; empty for never."""
    if live:
        return WHILE_LIVE
    return WHILE_QUIET if newest else ""
