"""Reads the fields of one mapping by type and notes what does not fit, with its place."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from pipelines.expressions import nearest
from pipelines.problems import Problems, join
from pipelines.yaml_nodes import ListNode, MapNode, Node, Position, Scalar, is_null


class Fields:
    """The fields of a mapping. Each reader gives a default where the field is missing or wrong."""

    def __init__(self, node: Node | None, path: str, problems: Problems) -> None:
        if not isinstance(node, MapNode):
            if node is not None and not is_null(node):
                problems.add(path, "names with values have to stand here", node.position)
            node = MapNode(entries=(), position=node.position if node else Position(0, 0))
        self.node = node
        self.path = path
        self._problems = problems

    def __iter__(self) -> Iterator[tuple[Scalar, Node]]:
        return iter(self.node.entries)

    def note(self, key: str, message: str) -> None:
        """Note a problem of a field."""
        self._problems.add(join(self.path, key), message, self._place(key))

    def check_keys(self, known: Collection[str]) -> None:
        """Note keys that mean nothing; those that begin with ``_`` belong to the server."""
        for key, _ in self:
            if self._problems.full:
                break
            if key.text not in known and not key.text.startswith("_"):
                self.note(key.text, f"unknown key{nearest(key.text, list(known))}")

    def fields(self, key: str) -> Fields:
        """A mapping below this one."""
        return Fields(self.node.get(key), join(self.path, key), self._problems)

    def items(self, key: str) -> tuple[Fields, ...]:
        """The mappings of a list."""
        node = self.node.get(key)
        if node is not None and not isinstance(node, ListNode) and not is_null(node):
            self.note(key, "this has to be a list")
        items = node.items if isinstance(node, ListNode) else ()
        path = join(self.path, key)
        return tuple(
            Fields(item, f"{path}[{number}]", self._problems) for number, item in enumerate(items)
        )

    def text(self, key: str) -> str:
        """A text; a number or a date is taken as it is written."""
        node = self.node.get(key)
        if node is None or isinstance(node, Scalar):
            return plain_text(node)
        self.note(key, "this has to be a text")
        return ""

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts; a single text counts as a list of one."""
        node = self.node.get(key)
        items = node.items if isinstance(node, ListNode) else () if node is None else (node,)
        if not all(isinstance(item, Scalar) for item in items):
            self.note(key, "this has to be a list of texts")
        found = (plain_text(item) for item in items if isinstance(item, Scalar))
        return tuple(text for text in found if text)

    def flag(self, key: str, *, default: bool = False) -> bool:
        """``true`` or ``false``, in quotes too."""
        text = self.text(key).strip().casefold()
        if text not in ("", "true", "false"):
            self.note(key, "this is true or false")
        return text == "true" if text in ("true", "false") else default

    def number(self, key: str, *, default: int, highest: int) -> int:
        """A whole number from 1 to ``highest``."""
        text = self.text(key).strip()
        if not text:
            return default
        if text.isdecimal() and len(text) <= 9 and 1 <= int(text) <= highest:
            return int(text)
        self.note(key, f"this is a whole number from 1 to {highest}")
        return default

    def _place(self, key: str) -> Position:
        name = self.node.key(key)
        return name.position if name else self.node.position


def plain_text(node: Scalar | None) -> str:
    """A scalar as the text of a field: nothing is empty, booleans are lower case."""
    if node is None or is_null(node):
        return ""
    if not node.quoted and node.text in ("True", "False", "TRUE", "FALSE"):
        return node.text.casefold()
    return node.text
