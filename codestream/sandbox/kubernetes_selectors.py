"""Label and field selectors of list and watch calls.

Syntax: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from codestream.sandbox.kubernetes_answers import bad_request
from codestream.sandbox.kubernetes_resources import Body

SET = re.compile(r"(?P<key>[\w./-]+)\s+(?P<word>in|notin)\s*\((?P<values>[^)]*)\)")
EQUAL = re.compile(r"(?P<key>[\w./-]+)\s*(?P<word>==|=|!=)\s*(?P<value>[\w.-]*)")
EXISTS = re.compile(r"(?P<absent>!?)\s*(?P<key>[\w./-]+)")
COMMA_OUTSIDE_PARENTHESES = re.compile(r",(?![^(]*\))")
FIELDS = ("metadata.name", "metadata.namespace", "involvedObject.name", "involvedObject.kind")

Test = Callable[[Mapping[str, str]], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Selector:
    """What a list or watch asks for."""

    labels: tuple[Test, ...]
    fields: Mapping[str, str]

    def accepts(self, body: Body) -> bool:
        """Whether an object is asked for."""
        if any(_field(body, path) != value for path, value in self.fields.items()):
            return False
        labels = body["metadata"].get("labels") or {}
        return all(test(labels) for test in self.labels)


def parse_selector(query: Mapping[str, str]) -> Selector:
    """Read ``labelSelector`` and ``fieldSelector``. Raises ApiError 400 for what is not known."""
    parts = COMMA_OUTSIDE_PARENTHESES.split(query.get("labelSelector", ""))
    tests = tuple(_test(part.strip()) for part in parts if part.strip())
    fields = {}
    for part in filter(None, query.get("fieldSelector", "").split(",")):
        path, _, value = part.partition("=")
        if path not in FIELDS:
            raise bad_request(f"field label not supported: {path}")
        fields[path] = value.lstrip("=")
    return Selector(labels=tests, fields=fields)


def _field(body: Body, path: str) -> str:
    outer, _, inner = path.partition(".")
    return str((body.get(outer) or {}).get(inner, ""))


def _test(text: str) -> Test:
    if found := SET.fullmatch(text):
        key, values = found["key"], {value.strip() for value in found["values"].split(",")}
        if found["word"] == "in":
            return lambda labels: labels.get(key) in values
        return lambda labels: labels.get(key) not in values
    if found := EQUAL.fullmatch(text):
        key, value = found["key"], found["value"]
        if found["word"] == "!=":
            return lambda labels: labels.get(key) != value
        return lambda labels: labels.get(key) == value
    if found := EXISTS.fullmatch(text):
        key, absent = found["key"], bool(found["absent"])
        return lambda labels: (key in labels) != absent
    raise bad_request(f"unable to parse requirement: {text!r}")
