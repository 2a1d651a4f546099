"""Conditions: ``${input.method} == "apply" && !(${input.count} < 3)``, read and judged.

A condition is read before any value is put in, so a value can never change what is compared.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeAlias

from pipelines.expressions import (
    ExpressionError,
    Reference,
    Scope,
    Template,
    parse_template,
)
from pipelines.references import parse_reference

MAX_LENGTH = 4096
MAX_NESTING = 50

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<operator>&&|\|\||==|!=|>=|<=|>|<|!|\(|\))
      | (?P<reference>\$\{(?P<body>(?:[^{}\['"]|\[\s*(?:'[^'\n]*'|"[^"\n]*"|\d+)\s*\])*)\})
      | (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
      | (?P<number>[+-]?\d+(?:\.\d+)?(?![\w.]))
      | (?P<word>[^\s&|=!<>()"'${}]+)
    )""",
    re.VERBOSE | re.DOTALL,
)
_NUMBER = re.compile(r"[+-]?\d{1,40}(?:\.\d{1,40})?", re.ASCII)
_ESCAPE = re.compile(r"""\\(["'\\])""")
_ORDERINGS: dict[str, Callable[[Decimal, Decimal], bool]] = {
    ">": lambda left, right: left > right,
    "<": lambda left, right: left < right,
    ">=": lambda left, right: left >= right,
    "<=": lambda left, right: left <= right,
}
_COMPARISONS = ("==", "!=", *_ORDERINGS)


class ConditionError(ExpressionError):
    """A condition cannot be read, or its values cannot be compared."""

    code = "condition"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operand:
    """One value: a text in quotes (which may hold expressions), a number, true, false, ``${…}``."""

    template: Template
    quoted: bool
    offset: int

    @property
    def references(self) -> tuple[Reference, ...]:
        return self.template.references

    def text(self, scope: Scope) -> str:
        return self.template.text(scope)

    def holds(self, scope: Scope) -> bool:
        """Whether the value, standing alone, is true. Raises ConditionError, UnknownReference."""
        value = self.text(scope).strip().casefold()
        if value not in ("true", "false"):
            raise ConditionError(f'"{value[:40]}" is neither true nor false', offset=self.offset)
        return value == "true"


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two values and the sign between them.

    ``== !=`` compare as numbers where both sides look like numbers and neither is in quotes, else
    as text: the tag ``1.10`` is not ``"1.1"``. An ordering always compares numbers.
    """

    left: Operand
    sign: str
    right: Operand
    offset: int

    @property
    def references(self) -> tuple[Reference, ...]:
        return self.left.references + self.right.references

    def holds(self, scope: Scope) -> bool:
        """Whether the comparison is true. Raises ConditionError, UnknownReference."""
        left, right = self.left.text(scope), self.right.text(scope)
        if self.sign in _ORDERINGS:
            return _ORDERINGS[self.sign](self._number(left), self._number(right))
        return self._equal(left, right) is (self.sign == "==")

    def _equal(self, left: str, right: str) -> bool:
        quoted = self.left.quoted or self.right.quoted
        if not quoted and _NUMBER.fullmatch(left) and _NUMBER.fullmatch(right):
            return Decimal(left) == Decimal(right)
        return left == right

    def _number(self, text: str) -> Decimal:
        if not _NUMBER.fullmatch(text.strip()):
            message = f'{self.sign} compares numbers, and "{text[:40]}" is not one'
            raise ConditionError(message, offset=self.offset)
        return Decimal(text.strip())


@dataclass(frozen=True, slots=True, kw_only=True)
class Not:
    """``!`` before a condition."""

    inner: Condition

    @property
    def references(self) -> tuple[Reference, ...]:
        return self.inner.references

    def holds(self, scope: Scope) -> bool:
        return not self.inner.holds(scope)


@dataclass(frozen=True, slots=True, kw_only=True)
class AllOf:
    """Conditions joined by ``&&``; the first that is false ends the look."""

    parts: tuple[Condition, ...]

    @property
    def references(self) -> tuple[Reference, ...]:
        return tuple(found for part in self.parts for found in part.references)

    def holds(self, scope: Scope) -> bool:
        return all(part.holds(scope) for part in self.parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnyOf:
    """Conditions joined by ``||``; the first that is true ends the look."""

    parts: tuple[Condition, ...]

    @property
    def references(self) -> tuple[Reference, ...]:
        return tuple(found for part in self.parts for found in part.references)

    def holds(self, scope: Scope) -> bool:
        return any(part.holds(scope) for part in self.parts)


Condition: TypeAlias = Operand | Comparison | Not | AllOf | AnyOf


def parse_condition(text: str) -> Condition:
    """Read a condition. Raises ConditionError, which says where; an empty text is an error too."""
    if len(text) > MAX_LENGTH:
        raise ConditionError(f"a condition has {MAX_LENGTH} characters at most", offset=MAX_LENGTH)
    reader = _Reader(_tokens(text), len(text))
    condition = reader.alternatives()
    reader.expect_end()
    return condition


def evaluate_condition(text: str, scope: Scope) -> bool:
    """Whether the condition holds. Raises ConditionError and UnknownReference."""
    return parse_condition(text).holds(scope)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Token:
    kind: str
    text: str
    offset: int
    operand: Operand | None = None


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    position, end = 0, len(text.rstrip())
    while position < end:
        found = _TOKEN.match(text, position, end)
        if not found or not found.lastgroup:
            raise _unreadable(text, position)
        tokens.append(_token(found))
        position = found.end()
    return tokens


def _token(found: re.Match[str]) -> _Token:
    kind = next(name for name in _KINDS if found[name] is not None)
    written, offset = found[kind], found.start(kind)
    operand = None if kind == "operator" else _OPERANDS[kind](written, offset)
    return _Token(kind=kind, text=written, offset=offset, operand=operand)


def _reference_operand(written: str, offset: int) -> Operand:
    try:
        reference = parse_reference(written[2:-1], offset=offset + 2)
    except ExpressionError as error:
        raise ConditionError(error.message, offset=error.offset) from error
    return Operand(template=Template((reference,)), quoted=False, offset=offset)


def _text_operand(written: str, offset: int) -> Operand:
    inner = written[1:-1]
    try:
        template = parse_template(inner)
    except ExpressionError as error:
        raise ConditionError(error.message, offset=offset + 1 + error.offset) from error
    parts = (_ESCAPE.sub(r"\1", part) if isinstance(part, str) else part for part in template.parts)
    return Operand(template=Template(tuple(parts)), quoted=True, offset=offset)


def _number_operand(written: str, offset: int) -> Operand:
    return Operand(template=Template((written,)), quoted=False, offset=offset)


def _word_operand(written: str, offset: int) -> Operand:
    if written.casefold() not in ("true", "false"):
        hint = f'put a text in quotes, as in "{written}"'
        raise ConditionError(f'"{written}" is not known here; {hint}', offset=offset)
    return Operand(template=Template((written.casefold(),)), quoted=False, offset=offset)


_OPERANDS: dict[str, Callable[[str, int], Operand]] = {
    "reference": _reference_operand,
    "text": _text_operand,
    "number": _number_operand,
    "word": _word_operand,
}
_KINDS = ("operator", *_OPERANDS)


def _unreadable(text: str, position: int) -> ConditionError:
    offset = position + len(text[position:]) - len(text[position:].lstrip())
    rest = text[offset:]
    if rest[0] in "\"'":
        return ConditionError(f"the quote {rest[0]} is never closed", offset=offset)
    if rest.startswith("${"):
        return ConditionError(f'the expression "{rest[:30]}" cannot be read', offset=offset)
    doubled = f"; did you mean {rest[0] * 2}?" if rest[0] in "&|=" else ""
    return ConditionError(f'"{rest[0]}" does not belong here{doubled}', offset=offset)


class _Reader:
    """Recursive descent: ``||`` over ``&&`` over ``!`` over comparisons and parentheses."""

    def __init__(self, tokens: list[_Token], length: int) -> None:
        self._tokens = tokens
        self._length = length
        self._position = 0
        self._nesting = 0

    def alternatives(self) -> Condition:
        parts = [self._conjunction()]
        while self._take("||"):
            parts.append(self._conjunction())
        return parts[0] if len(parts) == 1 else AnyOf(parts=tuple(parts))

    def expect_end(self) -> None:
        token = self._peek()
        if token is not None:
            message = f"{token.text} cannot stand here; join conditions with && or ||"
            raise ConditionError(message, offset=token.offset)

    def _conjunction(self) -> Condition:
        parts = [self._negation()]
        while self._take("&&"):
            parts.append(self._negation())
        return parts[0] if len(parts) == 1 else AllOf(parts=tuple(parts))

    def _negation(self) -> Condition:
        token = self._take("!", "(")
        if token is None:
            return self._comparison()
        self._nesting += 1
        if self._nesting > MAX_NESTING:
            raise ConditionError("the condition is nested too deeply", offset=token.offset)
        inner = Not(inner=self._negation()) if token.text == "!" else self._group(token)
        self._nesting -= 1
        return inner

    def _group(self, opening: _Token) -> Condition:
        inner = self.alternatives()
        if not self._take(")"):
            raise ConditionError("this ( is never closed", offset=opening.offset)
        compared = self._take(*_COMPARISONS)
        if compared:
            message = f"{compared.text} compares two values, not a condition in ( )"
            raise ConditionError(message, offset=compared.offset)
        return inner

    def _comparison(self) -> Condition:
        left = self._operand()
        sign = self._take(*_COMPARISONS)
        if sign is None:
            return left
        right = self._operand()
        chained = self._take(*_COMPARISONS)
        if chained:
            message = "compare two values at a time and join with &&"
            raise ConditionError(message, offset=chained.offset)
        return Comparison(left=left, sign=sign.text, right=right, offset=sign.offset)

    def _operand(self) -> Operand:
        token = self._peek()
        if token is None:
            raise ConditionError("a value is missing at the end", offset=self._length)
        if token.operand is None:
            raise ConditionError(f"a value is missing before {token.text}", offset=token.offset)
        self._position += 1
        return token.operand

    def _peek(self) -> _Token | None:
        return self._tokens[self._position] if self._position < len(self._tokens) else None

    def _take(self, *operators: str) -> _Token | None:
        token = self._peek()
        if token is None or token.operand is not None or token.text not in operators:
            return None
        self._position += 1
        return token
