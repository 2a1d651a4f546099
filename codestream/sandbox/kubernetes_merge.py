"""How a body changes another: server-side apply with its field managers, and the merge patches.

Pure. After https://kubernetes.io/docs/reference/using-api/server-side-apply/: a field that a
manager applied and no longer sends goes away unless somebody else owns it too; two managers that
want different values are a conflict unless one forces.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from codestream.sandbox.kubernetes_answers import ApiError
from codestream.sandbox.kubernetes_fields import (
    Path,
    dotted,
    from_fields_v1,
    item_key,
    remove,
    set_by,
    to_fields_v1,
    value_at,
)
from codestream.sandbox.kubernetes_resources import Body
from codestream.sandbox.kubernetes_schema import Fields, Items, Shape, Values, child


@dataclass(frozen=True, slots=True, kw_only=True)
class Manager:
    """Who changes: ``operation`` is Apply or Update, ``at`` an RFC 3339 time."""

    name: str
    operation: str
    api_version: str
    at: str

    def owns(self, entry: Body) -> bool:
        """Whether a ``managedFields`` entry is this manager's."""
        return (entry["manager"], entry["operation"]) == (self.name, self.operation)

    def entry(self, paths: frozenset[Path]) -> Body:
        """The ``managedFields`` entry that records these paths."""
        return {
            "manager": self.name,
            "operation": self.operation,
            "apiVersion": self.api_version,
            "time": self.at,
            "fieldsType": "FieldsV1",
            "fieldsV1": to_fields_v1(paths),
        }


def apply(live: Body, config: Body, shape: Shape, manager: Manager, *, force: bool) -> Body:
    """The live body after a server-side apply. Raises ApiError 409 when managers disagree."""
    entries = _entries(live)
    wanted = set_by(config, shape)
    contested = _contested(live, config, wanted, manager)
    if contested and not force:
        raise _conflict(contested)
    before = _paths_of(entries, manager.owns)
    others = _paths_of(entries, lambda entry: not manager.owns(entry))
    merged: Body = merge(copy.deepcopy(live), config, shape)
    # Whole items first: without the field that is its key, an item could not be found any more.
    for path in sorted(before - wanted - others, key=lambda path: (path[-1] != ".", -len(path))):
        if not (path[-1] == "." and _is_shared_item(path, others)):
            remove(merged, path)
    lost = {path for paths in contested.values() for path in paths}
    kept = _without(entries, lost, manager)
    merged["metadata"]["managedFields"] = [*kept, _renewed(entries, manager, wanted)]
    return merged


def record_update(before: Body, after: Body, shape: Shape, manager: Manager) -> None:
    """Note in ``after`` that this manager set what differs from ``before``."""
    entries = _entries(before)
    paths = set_by(after, shape)
    changed = {path for path in paths if value_at(after, path) != value_at(before, path)}
    if not changed:
        after["metadata"]["managedFields"] = entries
        return
    mine = _paths_of(entries, manager.owns) | changed
    kept = _without(entries, changed | (_paths_of(entries, bool) - paths), manager)
    after["metadata"]["managedFields"] = [*kept, manager.entry(frozenset(mine & paths))]


def merge(live: Any, patch: Any, shape: Shape) -> Any:
    """``patch`` laid over ``live``: null removes, keyed lists merge item by item."""
    if isinstance(patch, dict) and not _is_atomic(shape):
        merged = dict(live) if isinstance(live, dict) else {}
        for name, value in patch.items():
            if value is None:
                merged.pop(name, None)
            else:
                merged[name] = merge(merged.get(name), value, child(shape, name))
        return merged
    if isinstance(patch, list) and isinstance(shape, Items) and shape.keys:
        return _merged_items(live if isinstance(live, list) else [], patch, shape)
    return copy.deepcopy(patch)


def merge_patch(live: Any, patch: Any) -> Any:
    """RFC 7386: like ``merge``, with every list replaced as a whole."""
    return merge(live, patch, None)


def _merged_items(live: list[Any], patch: list[Any], shape: Items) -> list[Any]:
    merged = {item_key(item, shape): item for item in live}
    for item in patch:
        key = item_key(item, shape)
        if item.get("$patch") == "delete":
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key), item, shape.of)
    return list(merged.values())


def _contested(
    live: Body, config: Body, wanted: frozenset[Path], manager: Manager
) -> dict[tuple[str, str], list[Path]]:
    """The fields that others hold at another value, by (manager, apiVersion)."""
    found: dict[tuple[str, str], list[Path]] = defaultdict(list)
    for entry in _entries(live):
        if manager.owns(entry):
            continue
        for path in sorted(from_fields_v1(entry["fieldsV1"]) & wanted):
            if path[-1] != "." and value_at(live, path) != value_at(config, path):
                found[entry["manager"], entry["apiVersion"]].append(path)
    return found


def _conflict(contested: dict[tuple[str, str], list[Path]]) -> ApiError:
    causes = [
        {
            "reason": "FieldManagerConflict",
            "message": f'conflict with "{name}" using {api_version}',
            "field": dotted(path),
        }
        for (name, api_version), paths in contested.items()
        for path in paths
    ]
    plural = "" if len(causes) == 1 else "s"
    told = "\n".join(f"{cause['message']}: {cause['field']}" for cause in causes)
    message = f"Apply failed with {len(causes)} conflict{plural}: {told}"
    return ApiError(409, "Conflict", message, details={"causes": causes})


def _entries(body: Body) -> list[Body]:
    entries: list[Body] = body.get("metadata", {}).get("managedFields", [])
    return entries


def _paths_of(entries: list[Body], chosen: Callable[[Body], bool]) -> frozenset[Path]:
    return frozenset().union(*(from_fields_v1(e["fieldsV1"]) for e in entries if chosen(e)))


def _without(entries: list[Body], lost: set[Path], manager: Manager) -> list[Body]:
    """The entries of all others, less the fields that they lost."""
    kept = []
    for entry in entries:
        if manager.owns(entry):
            continue
        paths = from_fields_v1(entry["fieldsV1"]) - lost
        if paths:
            kept.append(entry | {"fieldsV1": to_fields_v1(paths)})
    return kept


def _renewed(entries: list[Body], manager: Manager, paths: frozenset[Path]) -> Body:
    """The manager's entry; its time stays when it sets the same fields as before."""
    fresh = manager.entry(paths)
    before = next((entry for entry in entries if manager.owns(entry)), None)
    return before if before and before["fieldsV1"] == fresh["fieldsV1"] else fresh


def _is_shared_item(item: Path, others: frozenset[Path]) -> bool:
    inside = item[:-1]
    return any(path[: len(inside)] == inside for path in others)


def _is_atomic(shape: Shape) -> bool:
    return isinstance(shape, Fields | Values) and shape.atomic
