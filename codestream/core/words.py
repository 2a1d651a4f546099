"""Sentences that are kept as a template and its values, so that each reader gets them in their own
language. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias, cast

from codestream.core.json_types import Json, JsonObject

Value: TypeAlias = "str | int | float | Words"


def gettext_noop(text: str) -> str:
    """Mark ``text`` for the catalogue, as Django's own does; it is translated when it is shown."""
    return text


@dataclass(frozen=True, slots=True)
class Words:
    """An English template with ``%(name)s``, and what stands in its places; ``str()`` says it."""

    text: str
    values: Mapping[str, Value] = field(default_factory=dict)

    @classmethod
    def plain(cls, sentence: str) -> Words:
        """A finished sentence; the catalogue may know it as a whole."""
        return cls(sentence.replace("%", "%%"))

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

    def __bool__(self) -> bool:
        return bool(self.text)

    def __str__(self) -> str:
        return self.said(gettext_noop)


def _value(stored: Json) -> Value:
    return Words.from_json(stored) if isinstance(stored, dict) else cast(Value, stored)
