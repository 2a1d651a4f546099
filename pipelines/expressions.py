"""Texts with ``${…}`` in them: where the references stand, and the text with their values.

The values come from a ``Scope``, which the caller provides. A value is put in as it is: it is
never searched for expressions of its own.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Protocol

from codestream.core.errors import CodeStreamError
from codestream.core.json_types import Json
from pipelines.references import (
    GLOBALS,
    ExpressionError,
    GlobalRef,
    InputRef,
    OutputRef,
    Path,
    Reference,
    TaskRef,
    VariableRef,
    nearest,
    parse_reference,
)

__all__ = [
    "GLOBALS",
    "ExpressionError",
    "GlobalRef",
    "InputRef",
    "OutputRef",
    "Path",
    "Reference",
    "Scope",
    "TaskRef",
    "Template",
    "UnknownReference",
    "VariableRef",
    "as_text",
    "evaluate",
    "evaluate_value",
    "nearest",
    "parse_template",
    "references",
    "resolve_path",
]

_OPENING = re.compile(r"(?<!\$)\$\{")
_BODY = re.compile(r"""(?:[^{}\['"]|\[\s*'[^'\n]*'\s*\]|\[\s*"[^"\n]*"\s*\]|[\['"])*""")


class UnknownReference(CodeStreamError):
    """A reference names something that is not there; the message says what is there instead."""

    code = "unknown_reference"

    def __init__(self, reference: Reference, reason: str) -> None:
        super().__init__(f"{reference}: {reason}")
        self.reference = reference


class Scope(Protocol):
    """Where the values of references come from."""

    def lookup(self, reference: Reference) -> Json:
        """The value of the reference. Raises UnknownReference."""
        ...


@dataclass(frozen=True, slots=True)
class Template:
    """A text that has been read: literal pieces and references, in their order."""

    parts: tuple[str | Reference, ...]

    @property
    def references(self) -> tuple[Reference, ...]:
        """Every reference, in the order of the text."""
        return tuple(part for part in self.parts if not isinstance(part, str))

    @property
    def whole(self) -> Reference | None:
        """The reference, where the text is exactly one reference and nothing else."""
        if len(self.parts) == 1 and not isinstance(self.parts[0], str):
            return self.parts[0]
        return None

    def text(self, scope: Scope) -> str:
        """The text with the values put in. Raises UnknownReference."""
        return "".join(
            part if isinstance(part, str) else as_text(scope.lookup(part)) for part in self.parts
        )


def parse_template(text: str) -> Template:
    """Read a text with expressions; ``$${KEY}`` is not one and stays. Raises ExpressionError."""
    if "${" not in text:
        return Template((text,) if text else ())
    parts: list[str | Reference] = []
    position = 0
    for opening in _OPENING.finditer(text):
        if opening.start() < position:
            continue
        end = _closing(text, opening)
        if opening.start() > position:
            parts.append(text[position : opening.start()])
        parts.append(parse_reference(text[opening.end() : end], offset=opening.end()))
        position = end + 1
    if position < len(text):
        parts.append(text[position:])
    return Template(tuple(parts))


def references(text: str) -> tuple[Reference, ...]:
    """Every reference in the text. Raises ExpressionError."""
    return parse_template(text).references


def evaluate(text: str, scope: Scope) -> str:
    """The text with every expression replaced by its value as text.

    Raises ExpressionError and UnknownReference.
    """
    return parse_template(text).text(scope)


def evaluate_value(text: str, scope: Scope) -> Json:
    """Like ``evaluate``, but a text that is one whole expression gives the value as it is."""
    template = parse_template(text)
    whole = template.whole
    return template.text(scope) if whole is None else scope.lookup(whole)


def as_text(value: Json) -> str:
    """A value as it appears inside a text: a text as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def resolve_path(value: Json, path: Path, reference: Reference) -> Json:
    """Follow ``path`` into ``value``. Raises UnknownReference, which says where the path ends."""
    for depth, part in enumerate(path):
        if isinstance(value, dict) and str(part) in value:
            value = value[str(part)]
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            value = value[part]
        else:
            raise UnknownReference(reference, _dead_end(value, path[: depth + 1]))
    return value


def _closing(text: str, opening: re.Match[str]) -> int:
    body = _BODY.match(text, opening.end())
    end = body.end() if body else opening.end()
    if end < len(text) and text[end] == "}":
        return end
    if text.startswith("{", end) and text[end - 1] == "$":
        raise ExpressionError("an expression stands inside another expression", offset=end - 1)
    shown = text[opening.start() : opening.start() + 30]
    raise ExpressionError(
        f'the expression "{shown}" is never closed with }}', offset=opening.start()
    )


def _dead_end(value: Json, path: Path) -> str:
    missing = path[-1]
    if isinstance(value, dict):
        names = ", ".join(sorted(value)[:12]) or "nothing"
        return f'there is no "{missing}" here; there is: {names}'
    if isinstance(value, list):
        return f"there is no [{missing}] here; the list has {len(value)} items, from [0] on"
    kind = "nothing" if value is None else "a single value"
    return f'there is no "{missing}" here, where {kind} stands'
