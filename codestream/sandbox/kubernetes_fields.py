"""Which fields a body sets, as a set of paths, and the ``fieldsV1`` form that records it.

A path is a tuple of elements as in ``managedFields``: ``f:spec``, ``k:{"name":"web"}`` for an
item of a keyed list, and a final ``.`` for the item as such.
Format: https://github.com/kubernetes-sigs/structured-merge-diff/blob/master/fieldpath/serialize.go
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

from codestream.sandbox.kubernetes_resources import Body
from codestream.sandbox.kubernetes_schema import Fields, Items, Shape, Values, child

Path: TypeAlias = tuple[str, ...]

# What names an object or is set by the server alone is nobody's field.
UNOWNED = (
    ("f:apiVersion",),
    ("f:kind",),
    ("f:status",),
    *(
        ("f:metadata", f"f:{name}")
        for name in (
            "name",
            "namespace",
            "uid",
            "resourceVersion",
            "generation",
            "creationTimestamp",
            "deletionTimestamp",
            "managedFields",
            "selfLink",
        )
    ),
)
KEY_DEFAULTS = {"protocol": "TCP"}


def set_by(body: Body, shape: Shape) -> frozenset[Path]:
    """The paths of all fields that ``body`` sets and that a manager can own."""
    paths = _leaves(body, shape, ())
    return frozenset(path for path in paths if path[:1] not in UNOWNED and path[:2] not in UNOWNED)


def value_at(body: Any, path: Path) -> Any:
    """The value at a path, or None."""
    for element in path:
        body = _step(body, element)
    return body


def remove(body: Body, path: Path) -> None:
    """Take the field at ``path`` out of ``body``, and the maps that this leaves empty."""
    if path[-1] == ".":
        path = path[:-1]
    parent = value_at(body, path[:-1])
    if isinstance(parent, dict):
        parent.pop(path[-1].removeprefix("f:"), None)
    elif isinstance(parent, list):
        parent[:] = [item for item in parent if not _matches(item, path[-1])]
    if parent in ({}, []) and len(path) > 2:
        remove(body, path[:-1])


def item_key(item: Body, shape: Items) -> str:
    """The element that names an item of a keyed list: ``k:{"name":"web"}``."""
    key = {name: item.get(name, KEY_DEFAULTS.get(name)) for name in shape.keys}
    return "k:" + json.dumps(key, separators=(",", ":"), sort_keys=True)


def to_fields_v1(paths: Iterable[Path]) -> Body:
    """The nested form that ``managedFields`` keeps."""
    nested: Body = {}
    for path in sorted(paths):
        inner = nested
        for element in path:
            inner = inner.setdefault(element, {})
    return nested


def from_fields_v1(nested: Body) -> frozenset[Path]:
    """The inverse of ``to_fields_v1``."""
    return frozenset(_unnested(nested, ()))


def dotted(path: Path) -> str:
    """The path as messages write it: ``.spec.template.spec.containers[name="web"].image``."""
    told = ""
    for element in path:
        if element.startswith("f:"):
            told += f".{element[2:]}"
        elif element.startswith("k:"):
            key = json.loads(element[2:])
            told += "[" + ",".join(f"{name}={json.dumps(key[name])}" for name in key) + "]"
    return told


def _leaves(value: Any, shape: Shape, path: Path) -> Iterator[Path]:
    if value is None:
        return
    atomic = isinstance(shape, Fields | Values) and shape.atomic
    if isinstance(value, dict) and value and not atomic:
        for name, item in value.items():
            yield from _leaves(item, child(shape, name), (*path, f"f:{name}"))
    elif isinstance(value, list) and value and isinstance(shape, Items) and shape.keys:
        for item in value:
            at = (*path, item_key(item, shape))
            yield (*at, ".")
            yield from _leaves(item, shape.of, at)
    else:
        yield path


def _step(value: Any, element: str) -> Any:
    if element == ".":
        return value
    if isinstance(value, dict):
        return value.get(element.removeprefix("f:"))
    if isinstance(value, list):
        return next((item for item in value if _matches(item, element)), None)
    return None


def _matches(item: Any, element: str) -> bool:
    if not isinstance(item, dict) or not element.startswith("k:"):
        return False
    key = json.loads(element[2:])
    return all(item.get(name, KEY_DEFAULTS.get(name)) == wanted for name, wanted in key.items())


def _unnested(nested: Body, path: Path) -> Iterator[Path]:
    if not nested and path:
        yield path
    for element, inner in nested.items():
        yield from _unnested(inner, (*path, element))
