"""A text that stands for a variable: ``${var.name}`` and nothing else, in place of a secret."""

from __future__ import annotations

import re

_REFERENCE = re.compile(r"\s*\$\{\s*var\.([A-Za-z0-9_-]+)\s*\}\s*")


def variable_name(text: object) -> str:
    """The name of the variable that the whole text refers to, else an empty text."""
    found = _REFERENCE.fullmatch(text) if isinstance(text, str) else None
    return found[1] if found else ""
