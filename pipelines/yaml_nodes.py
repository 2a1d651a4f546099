"""A YAML text as a tree that knows its lines and which of its texts stood in quotes.

Making the tree is left to ``pipelines.yaml_source``; what it means, to its readers.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from codestream.core.json_types import Json

_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE = frozenset({"true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"})
_FALSE = frozenset({"false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF"})
_INTEGER = re.compile(r"([-+]?)(?:0[xX]([0-9a-fA-F]+)|0b([01]+)|0o?([0-7]+)|(0|[1-9][0-9_]*))")
_BASES = (16, 2, 8, 10)
_FLOAT = re.compile(r"[-+]?[0-9]*\.?[0-9]+([eE][-+]?[0-9]+)?")
_LONGEST_NUMBER = 40


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a text; lines and columns count from 1, 0 means nowhere."""

    line: int
    column: int


NOWHERE = Position(0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scalar:
    """One text. ``quoted`` is false only for plain style, whose text may mean a number.

    ``content`` is where the text itself begins, where the source holds it character for
    character (a literal block, or one line without escapes).
    """

    text: str
    quoted: bool
    position: Position
    content: Position | None = None

    def at(self, offset: int) -> Position:
        """The place of a character of the text, as exactly as it can be known."""
        before = self.text[:offset]
        return self.within(before.count("\n") + 1, offset - before.rfind("\n"))

    def within(self, line: int, column: int) -> Position:
        """The place in the source of a line and column of the text."""
        if self.content is None or not line:
            return self.position
        return Position(self.content.line + line - 1, self.content.column + column - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListNode:
    """A sequence."""

    items: tuple[Node, ...]
    position: Position


@dataclass(frozen=True, slots=True, kw_only=True)
class MapNode:
    """A mapping; its entries stand in the order of the text, doubled keys included."""

    entries: tuple[tuple[Scalar, Node], ...]
    position: Position
    _first: dict[str, tuple[Scalar, Node]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        first = {entry[0].text: entry for entry in reversed(self.entries)}
        object.__setattr__(self, "_first", first)

    def get(self, key: str) -> Node | None:
        """The value of a key, or nothing."""
        entry = self._first.get(key)
        return entry[1] if entry else None

    def key(self, key: str) -> Scalar | None:
        """The key itself, for its place."""
        entry = self._first.get(key)
        return entry[0] if entry else None


Node: TypeAlias = Scalar | ListNode | MapNode


def is_null(node: Node | None) -> bool:
    """Whether nothing stands there: no node, an empty value, ``null`` or ``~``."""
    return node is None or (isinstance(node, Scalar) and not node.quoted and node.text in _NULLS)


def scalar_value(scalar: Scalar) -> Json:
    """The value that kubectl reads: quoted is text; plain may be a number, a boolean or null.

    ``0644`` is octal; times, dates and base-60 numbers (``22:22``) stay texts.
    """
    text = scalar.text
    if scalar.quoted:
        return text
    if text in _NULLS:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    return _number(text)


def to_json(node: Node) -> Json:
    """The tree as plain values; keys are their texts, of doubled keys the last one stays."""
    if isinstance(node, Scalar):
        return scalar_value(node)
    if isinstance(node, ListNode):
        return [to_json(item) for item in node.items]
    return {key.text: to_json(value) for key, value in node.entries}


def duplicate_keys(node: Node, path: str = "") -> Iterator[tuple[str, Scalar]]:
    """Every key that stands a second time in its mapping, with its dotted path."""
    if isinstance(node, ListNode):
        for index, item in enumerate(node.items):
            yield from duplicate_keys(item, f"{path}[{index}]")
    elif isinstance(node, MapNode):
        seen: set[str] = set()
        for key, value in node.entries:
            here = f"{path}.{key.text}" if path else key.text
            if key.text in seen:
                yield here, key
            seen.add(key.text)
            yield from duplicate_keys(value, here)


def scalars(node: Node, path: str = "") -> Iterator[tuple[str, Scalar]]:
    """Every text of the tree, keys included, with its dotted path."""
    if isinstance(node, Scalar):
        yield path, node
    elif isinstance(node, ListNode):
        for index, item in enumerate(node.items):
            yield from scalars(item, f"{path}[{index}]")
    else:
        for key, value in node.entries:
            here = f"{path}.{key.text}" if path else key.text
            yield here, key
            yield from scalars(value, here)


def _number(text: str) -> Json:
    found = _INTEGER.fullmatch(text) if len(text) <= _LONGEST_NUMBER else None
    if found:
        sign, *digits = found.groups()
        base, written = next(pair for pair in zip(_BASES, digits, strict=True) if pair[1])
        return int(sign + written.replace("_", ""), base)
    if _FLOAT.fullmatch(text) and math.isfinite(float(text)):
        return float(text)
    return text
