"""What a canceled Kubernetes task leaves behind, object by object.

A step sends many objects and is written down at its end; a worker that died in the middle of one
has told of none of them. So the cluster is asked about every object that is not known to be sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from codestream.core.errors import CodeStreamError
from codestream.core.json_types import Json, JsonObject
from codestream.core.words import Words, gettext_noop
from endpoints.clients.kubernetes_objects import Change, LiveObject, restorable, text_at
from endpoints.clients.revisions import merge_changes
from endpoints.clients.rollout import RolloutState
from executions.runners.base import Stopped
from executions.runners.kubernetes_actions import Step, unseal
from executions.runners.kubernetes_delete import uid_of
from executions.runners.kubernetes_reports import (
    NOT_SENT,
    SENT,
    TASK_ANNOTATION,
    difference,
    ref_in,
    reports_in,
)
from executions.telling import telling
from pipelines.kubernetes_task import KubernetesAction

CHANGES = frozenset({Change.CREATED.value, Change.CONFIGURED.value, Change.DELETED.value})
_NOT_KNOWN = Words(gettext_noop("not known whether it was changed"))
_NOT_TOUCHED = Words(gettext_noop("was not touched"))
_DELETED = Words(gettext_noop("was deleted before the cancel"))
_SENT = Words(gettext_noop("was sent before the cancel"))


def left_behind(step: Step) -> Stopped:
    """Say which objects were changed and which were not; what cannot be asked is named."""
    reports = reports_in(step.context.cursor)
    befores = unseal(step.context.cursor["before"])
    unknown: list[JsonObject] = []
    reason: Words | None = None
    for at, item in enumerate(reports):
        if item["state"] != NOT_SENT:
            continue
        try:
            reports[at] = item if reason else _settled(step, item, befores[at])
        except CodeStreamError as error:
            reason = error.words
        if reason:
            item.update(telling(_NOT_KNOWN))
            unknown.append(item)
    return Stopped(
        message=_in_words(reports, unknown, reason),
        output={**step.context.output, "objects": cast(Json, reports)},
    )


def _settled(step: Step, item: JsonObject, before: JsonObject) -> JsonObject:
    """The report of an object that a step may have changed without telling."""
    ref = ref_in(item)
    live = step.cluster.find(ref) if step.cluster.knows(ref) else None
    if not _was_changed(step, item, before, live):
        return {**item, **telling(_NOT_TOUCHED)}
    body = dict(live.body) if live else {}
    told: JsonObject = {**item, "diff": difference(before, body, step.secrets)}
    if _is_going(item, live):
        return {
            **told,
            "state": RolloutState.PROGRESSING.value,
            "change": Change.DELETED.value,
            **telling(_DELETED),
        }
    change = Change.CONFIGURED if before else Change.CREATED
    return {**told, "state": SENT, "change": change.value, **telling(_SENT)}


def _was_changed(step: Step, item: JsonObject, before: JsonObject, live: LiveObject | None) -> bool:
    match step.task.action:
        case KubernetesAction.DELETE:
            return bool(before) and _is_going(item, live)
        case KubernetesAction.UNDO:
            now = restorable(live.body) if live else {}
            return bool(merge_changes(cast(Json, restorable(before)), cast(Json, now)))
        case _:
            own = live is not None and live.annotation(TASK_ANNOTATION)
            return own == step.context.task_id


def _is_going(item: JsonObject, live: LiveObject | None) -> bool:
    """Whether the object of before is gone, or on its way."""
    if live is None or text_at(live.body, "metadata", "deletionTimestamp"):
        return True
    return "uid" in item and uid_of(live) != item["uid"]


def _in_words(
    reports: Sequence[JsonObject], unknown: Sequence[JsonObject], reason: Words | None
) -> Words:
    changed = sum(item["change"] in CHANGES for item in reports)
    numbers = {"changed": changed, "number": len(reports)}
    if reason is None and changed == len(reports):
        text = gettext_noop("%(changed)s of %(number)s objects changed and left as they are.")
        return Words(text, numbers)
    if reason is None:
        return Words(
            gettext_noop(
                "%(changed)s of %(number)s objects changed and left as they are; the others were "
                "not touched."
            ),
            numbers,
        )
    names = ", ".join(str(item["ref"]) for item in unknown)
    return Words(
        gettext_noop(
            "%(changed)s of %(number)s objects changed and left as they are; not known of "
            "%(objects)s: %(reason)s"
        ),
        {**numbers, "objects": names, "reason": reason},
    )
