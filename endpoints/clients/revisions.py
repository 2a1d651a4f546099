"""The revisions of a workload that the cluster still holds, and the way back to one of them.

Pure, after ``kubectl rollout undo``
(https://github.com/kubernetes/kubectl/blob/master/pkg/polymorphichelpers/rollback.go): a
Deployment keeps its past in ReplicaSets, a StatefulSet and a DaemonSet in ControllerRevisions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from codestream.core.json_types import Json
from codestream.core.words import Words, gettext_noop
from endpoints.clients.base import Invalid, NotFound
from endpoints.clients.kubernetes_objects import Body, int_at, text_at, value_at
from endpoints.clients.rollout import TEMPLATE_HASH_LABEL, owned_by, revision_of

HOLDERS = {
    "Deployment": "ReplicaSet",
    "StatefulSet": "ControllerRevision",
    "DaemonSet": "ControllerRevision",
}
RELATIVE = re.compile(r"n-(?P<steps>\d{1,9})", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """One revision and the name of the object that holds its pod template."""

    number: int
    holder: str


def revisions_of(owner: Body, holders: Iterable[Body]) -> tuple[Revision, ...]:
    """The revisions of a workload, the present one first."""
    number = revision_of if text_at(owner, "kind") == "Deployment" else _number
    found = [
        Revision(number=number(body), holder=text_at(body, "metadata", "name"))
        for body in owned_by(holders, text_at(owner, "metadata", "uid"))
    ]
    return tuple(sorted(found, key=lambda revision: -revision.number))


def chosen(revisions: Sequence[Revision], wanted: str) -> Revision:
    """The revision of a number, or of ``n-1`` for the one before the present one.

    Raises NotFound where the cluster does not hold it any more, with what it holds.
    """
    relative = RELATIVE.fullmatch(wanted)
    if not relative and not wanted.isdecimal():
        words = Words(gettext_noop("%(wanted)s is no revision."), {"wanted": repr(wanted)})
        raise Invalid(words, advice=gettext_noop("Use a number, or n-1."))
    if relative:
        found = next(iter(revisions[int(relative["steps"]) :]), None)
    else:
        found = next((each for each in revisions if each.number == int(wanted)), None)
    if found is None:
        held = ", ".join(str(revision.number) for revision in revisions)
        none = Words(gettext_noop("none"))
        raise NotFound(
            Words(
                gettext_noop("There is no revision %(wanted)s: the cluster holds %(held)s."),
                {"wanted": wanted, "held": held or none},
            ),
            advice=gettext_noop("Choose one of these, or apply the manifest that is wanted."),
        )
    return found


def template_of(holder: Body) -> Mapping[str, Json]:
    """The pod template that a ReplicaSet or a ControllerRevision holds."""
    inside = () if text_at(holder, "kind") == "ReplicaSet" else ("data",)
    found = value_at(holder, *inside, "spec", "template")
    template = dict(found) if isinstance(found, dict) else {}
    template.pop("$patch", None)
    metadata = template.get("metadata")
    if isinstance(metadata, dict) and isinstance(labels := metadata.get("labels"), dict):
        kept = {name: value for name, value in labels.items() if name != TEMPLATE_HASH_LABEL}
        template["metadata"] = {**metadata, "labels": kept}
    return template


def merge_changes(before: Json, after: Json) -> dict[str, Json]:
    """The JSON merge patch (RFC 7386) that makes ``after`` of ``before``; empty when they agree."""
    old = before if isinstance(before, dict) else {}
    new = after if isinstance(after, dict) else {}
    changes: dict[str, Json] = {
        name: None for name, value in old.items() if value is not None and new.get(name) is None
    }
    for name, value in new.items():
        if value is None or value == old.get(name):
            continue
        is_map = isinstance(value, dict) and isinstance(old.get(name), dict)
        inner: Json = merge_changes(old[name], value) if is_map else value
        if inner != {} or not is_map:
            changes[name] = inner
    return changes


def _number(body: Body) -> int:
    return int_at(body, "revision")
