"""Sentences that are kept as a template and its values, so that each reader gets them in their own
language. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias, cast

from codestream.core.json_types import Json, JsonObject

Value: TypeAlias = "str | int | float | Words"


def gettext_noop(text: str) -> str:
    """Mark ``text`` for the catalogue, as Django's own does; it is translated when it is shown."""
    return text


class Words(str):
    """A sentence in English that knows its template with ``%(name)s`` and what stands in its
    places, so that it can be said in other languages too.
    """

    text: str
    values: Mapping[str, Value]

    def __new__(cls, text: str, values: Mapping[str, Value] | None = None) -> Words:
        """The sentence; a value that is Words itself is said in the language of the whole."""
        kept = dict(values or {})
        sentence = super().__new__(cls, text % kept)
        sentence.text, sentence.values = text, kept
        return sentence

    def __getnewargs__(self) -> tuple[str, Mapping[str, Value]]:  # type: ignore[override]
        """What a copy is made of."""
        return self.text, self.values

    @classmethod
    def plain(cls, sentence: str) -> Words:
        """The sentence itself where it is Words; else a finished one, which the catalogue may know
        as a whole.
        """
        return sentence if isinstance(sentence, Words) else cls(sentence.replace("%", "%%"))

    @classmethod
    def from_json(cls, stored: JsonObject) -> Words:
        """Read what ``as_json`` gave."""
        values = cast(JsonObject, stored["values"])
        return cls(str(stored["text"]), {name: _value(each) for name, each in values.items()})

    def as_json(self) -> JsonObject:
        """What can be stored."""
        values: JsonObject = {
            name: each.as_json() if isinstance(each, Words) else each
            for name, each in self.values.items()
        }
        return {"text": self.text, "values": values}

    def said(self, translate: Callable[[str], str]) -> str:
        """The sentence, with its template and those inside it translated."""
        return translate(self.text) % {
            name: each.said(translate) if isinstance(each, Words) else each
            for name, each in self.values.items()
        }


def joined(parts: Iterable[str], *, by: str = " ") -> Words:
    """The parts one after the other, each said in the language of the whole."""
    values = {f"part{number}": part for number, part in enumerate(parts, start=1)}
    return Words(by.join(f"%({name})s" for name in values), values)


def _value(stored: Json) -> Value:
    return Words.from_json(stored) if isinstance(stored, dict) else cast(Value, stored)
