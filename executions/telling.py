"""The sentences in a task's output: English for programs, and beside each its template for people,
of which programs are told nothing. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from codestream.core.json_types import Json, JsonObject
from codestream.core.words import Words

WORDS = "words"
_TELLING = ("objects", "failures")
"""The lists of an output whose items have a sentence."""


def telling(sentence: str) -> JsonObject:
    """What an item keeps of its sentence."""
    words = Words.plain(sentence)
    return {"message": str(words), WORDS: words.as_json() if words else {}}


def words_of(item: Mapping[str, Json]) -> Words:
    """The sentence of an item; those of earlier releases have no template."""
    if stored := item.get(WORDS):
        return Words.from_json(cast(JsonObject, stored))
    return Words.plain(str(item.get("message", "")))


def told(output: JsonObject) -> JsonObject:
    """The output as programs read it."""
    return output | {name: _told(output[name]) for name in _TELLING if name in output}


def _told(items: Json) -> Json:
    if not isinstance(items, list):
        return items
    return [_without_words(item) if isinstance(item, dict) else item for item in items]


def _without_words(item: JsonObject) -> JsonObject:
    return {name: value for name, value in item.items() if name != WORDS}
