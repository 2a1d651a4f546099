"""Reads YAML, and so JSON, into nodes with positions.

Only plain data is read: no custom tags, no objects. Size, nesting and the growth through aliases
are limited, so that a hostile text costs no more than an honest one.
"""

from __future__ import annotations

import json
import re

import yaml

from codestream.core.errors import CodeStreamError
from pipelines.yaml_nodes import ListNode, MapNode, Node, Position, Scalar

MAX_BYTES = 256 * 1024
MAX_NESTING = 64
MAX_NODES = 50_000
MAX_CHARACTERS = 4 * MAX_BYTES
"""How much text there may be once every alias is written out."""

_YAML_TAG = "tag:yaml.org,2002:"
_PLAIN = _YAML_TAG + "plain"
_TYPED = frozenset(_YAML_TAG + name for name in ("int", "float", "bool", "null", "plain"))
_KNOWN = _TYPED | {_YAML_TAG + name for name in ("str", "map", "seq")}
_LINE_BREAK = re.compile("\r\n|[\r\n\x85\u2028\u2029]")
_UNQUOTED = re.compile(r"\$+\{[^{}\n]*\}")
_SURROGATE = re.compile("[\ud800-\udfff]")


class YamlError(CodeStreamError):
    """The text is not YAML that can be read; ``position`` says where."""

    code = "yaml"

    def __init__(self, message: str, position: Position) -> None:
        super().__init__(message)
        self.position = position


def compose(text: str) -> tuple[Node, ...]:
    """Every document of the text, empty ones included. Raises YamlError."""
    if len(text.encode(errors="replace")) > MAX_BYTES:
        raise YamlError(f"the text is larger than {MAX_BYTES // 1024} KiB", Position(1, 1))
    text = _without_json_tabs(text.removeprefix("\ufeff"))
    lines = _LINE_BREAK.split(text)
    try:
        roots = list(yaml.compose_all(text, _Loader))
    except yaml.MarkedYAMLError as error:
        raise _syntax_error(error, lines) from error
    except yaml.reader.ReaderError as error:
        raise _unprintable(error, text) from error
    converter = _Converter(lines)
    return tuple(converter.convert(root, 1) for root in roots)


class _Loader(yaml.SafeLoader):
    """PyYAML's composer without its guesses at types, and with a limit to nesting."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._nesting = 0

    def resolve(
        self,
        kind: type[yaml.Node],
        value: str | None,
        implicit: bool | tuple[bool, bool],
    ) -> str:
        """Plain texts get a tag of their own: ``!!str 1`` and ``1`` have to be told apart."""
        if isinstance(implicit, tuple):
            return _PLAIN if implicit[0] else _YAML_TAG + "str"
        return _YAML_TAG + ("seq" if kind is yaml.SequenceNode else "map")

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self._nesting += 1
        if self._nesting > MAX_NESTING:
            raise yaml.MarkedYAMLError(
                problem="the nesting is too deep", problem_mark=self.get_mark()
            )
        node = super().compose_node(parent, index)
        self._nesting -= 1
        return node


class _Converter:
    """PyYAML's nodes into ours, aliases written out within the limits."""

    def __init__(self, lines: list[str]) -> None:
        self._lines = lines
        self._nodes = 0
        self._characters = 0

    def convert(self, node: yaml.Node, depth: int) -> Node:
        position = _position(node.start_mark)
        self._nodes += 1
        if depth > MAX_NESTING or self._nodes > MAX_NODES:
            raise YamlError("the text is too deep or too large with its aliases", position)
        if node.tag not in _KNOWN:
            raise YamlError(f"the tag {node.tag} is not supported", position)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, position, depth)
        if isinstance(node, yaml.SequenceNode):
            items = tuple(self.convert(item, depth + 1) for item in node.value)
            return ListNode(items=items, position=position)
        return self._scalar(node, position)

    def _mapping(self, node: yaml.MappingNode, position: Position, depth: int) -> MapNode:
        entries: list[tuple[Scalar, Node]] = []
        merged: list[Node] = []
        for key_node, value_node in node.value:
            key = self.convert(key_node, depth + 1)
            if not isinstance(key, Scalar):
                raise YamlError("a key has to be one text", key.position)
            value = self.convert(value_node, depth + 1)
            if key.text == "<<" and not key.quoted:
                merged.append(value)
            else:
                entries.append((key, value))
        return MapNode(entries=_merge(entries, merged), position=position)

    def _scalar(self, node: yaml.Node, position: Position) -> Scalar:
        text = _repaired(str(node.value), position)
        self._characters += len(text)
        if self._characters > MAX_CHARACTERS:
            raise YamlError("the text is too large with its aliases", position)
        return Scalar(
            text=text,
            quoted=node.tag not in _TYPED,
            position=position,
            content=self._content(node, text),
        )

    def _content(self, node: yaml.Node, text: str) -> Position | None:
        start, style = node.start_mark, getattr(node, "style", None)
        if style == "|":
            return self._block_content(start.line + 1, text)
        column = start.column + (1 if style else 0)
        verbatim = start.line < len(self._lines) and self._lines[start.line].startswith(
            text, column
        )
        return Position(start.line + 1, column + 1) if verbatim and "\n" not in text else None

    def _block_content(self, first: int, text: str) -> Position | None:
        for number, line in enumerate(text.split("\n"), start=first):
            if line.strip() and number < len(self._lines):
                indent = len(self._lines[number]) - len(line)
                return Position(first + 1, indent + 1)
        return None


def _merge(
    entries: list[tuple[Scalar, Node]], merged: list[Node]
) -> tuple[tuple[Scalar, Node], ...]:
    names = {key.text for key, _ in entries}
    for value in merged:
        for source in value.items if isinstance(value, ListNode) else (value,):
            if not isinstance(source, MapNode):
                raise YamlError("<< takes a mapping or a list of mappings", source.position)
            fresh = [entry for entry in source.entries if entry[0].text not in names]
            names.update(key.text for key, _ in fresh)
            entries = entries + fresh
    return tuple(entries)


def _repaired(text: str, position: Position) -> str:
    """JSON writes what lies beyond the basic plane as two escapes: they become one character."""
    if "\0" in text:
        raise YamlError("a text holds the character NUL", position)
    if not _SURROGATE.search(text):
        return text
    try:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le")
    except UnicodeDecodeError as error:
        raise YamlError("a text holds half a character (a lone surrogate)", position) from error


def _without_json_tabs(text: str) -> str:
    """YAML refuses tabs that JSON allows; in valid JSON each is mere white space."""
    if "\t" not in text or not text.lstrip().startswith(("{", "[")):
        return text
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return text
    return text.replace("\t", " ")


def _position(mark: yaml.Mark) -> Position:
    return Position(mark.line + 1, mark.column + 1)


def _syntax_error(error: yaml.MarkedYAMLError, lines: list[str]) -> YamlError:
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return YamlError(str(error.problem), Position(1, 1))
    line = lines[mark.line] if mark.line < len(lines) else ""
    column = len(line[: mark.column].rstrip("$"))
    expression = _UNQUOTED.match(line, column)
    if expression:
        message = f'YAML reads the braces of an expression here; quote it: "{expression[0]}"'
        return YamlError(message, Position(mark.line + 1, column + 1))
    message = f"this is not YAML: {error.problem}"
    hint = next((hint for sign, hint in _HINTS.items() if sign in message), "")
    return YamlError(message + hint, _position(mark))


_HINTS = {
    "'\\t'": " (indent with blanks, not with tabs)",
    "mapping values are not allowed": ' (a text with ": " in it has to be quoted)',
    "cannot start any token": " (a text that begins so has to be quoted)",
    "unexpected end of stream": " (a quote that was opened here or before is never closed)",
    "<stream end>": " (something that was opened before is never closed)",
}


def _unprintable(error: yaml.reader.ReaderError, text: str) -> YamlError:
    before = text[: error.position]
    position = Position(before.count("\n") + 1, len(before) - before.rfind("\n"))
    return YamlError("there is a control character here, which YAML does not allow", position)
