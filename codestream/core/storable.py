"""Text from outside as every database takes it: what a cluster says may hold anything."""

from __future__ import annotations

import math
import re
from typing import TypeVar, cast

from codestream.core.words import Words

Kept = TypeVar("Kept")
_REFUSED = re.compile("[\x00\ud800-\udfff]")
"""PostgreSQL takes no NUL in a text, and nobody half a surrogate pair."""


def storable(value: Kept) -> Kept:
    """Return the text, or the JSON with all texts in it, with U+FFFD for what cannot be stored, and
    numbers that are none (``NaN``) as texts.
    """
    return cast(Kept, _storable(value))


def _storable(value: object) -> object:
    if isinstance(value, str):
        if isinstance(value, Words):
            return Words(_storable_text(value.text), storable(dict(value.values)))
        return _storable_text(value) if _REFUSED.search(value) else value
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {_storable(name): _storable(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(_storable, value))
    return value


def _storable_text(text: str) -> str:
    return _REFUSED.sub("\ufffd", text)
