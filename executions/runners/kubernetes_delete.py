"""The action Delete: the objects go in the reverse of the order they were made in, until gone."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import cast

from codestream.core.errors import CodeStreamError
from codestream.core.json_types import Json, JsonObject
from codestream.core.redact import redact_words
from codestream.core.words import Words, gettext_noop, joined
from endpoints.clients.base import Conflict
from endpoints.clients.kubernetes_marks import sight
from endpoints.clients.kubernetes_objects import (
    Change,
    LiveObject,
    ref_of,
    text_at,
    value_at,
    version_of,
)
from endpoints.clients.kubernetes_rollouts import fetch_all
from endpoints.clients.rollout import RolloutState
from executions.runners.base import Done, Outcome, Sight, Wait
from executions.runners.kubernetes_actions import (
    Step,
    failed,
    next_step,
    seal,
    sight_of,
    unseal,
    wait,
)
from executions.runners.kubernetes_reports import (
    FAILED,
    READY,
    ref_in,
    report,
    reports_in,
    summary,
)
from executions.telling import telling, words_of
from pipelines.manifests import in_order, render

GONE: JsonObject = {
    "state": READY,
    "change": Change.DELETED.value,
    **telling(Words(gettext_noop("is gone"))),
}
NOT_THERE: JsonObject = {
    "state": READY,
    "change": Change.UNCHANGED.value,
    **telling(Words(gettext_noop("was not there"))),
}
BEING_DELETED = Words(gettext_noop("is being deleted"))


class Delete:
    """Delete, and wait until everything is gone."""

    def start(self, step: Step) -> Outcome:
        """Find out which objects are meant: one that is made anew later is another one."""
        manifests = reversed(in_order(step.task.manifests))
        refs = [ref_of(render(item, step.context.scope)) for item in manifests]
        reports: list[JsonObject] = []
        before: list[Json] = []
        for ref in refs:
            live = step.cluster.find(ref)
            before.append(dict(live.body) if live else {})
            told = report(live.ref if live else ref)
            if live is None:
                told |= NOT_THERE
            reports.append({**told, "uid": uid_of(live)})
        shown: JsonObject = {"action": step.task.action.value, "endpoint": step.task.endpoint}
        cursor: JsonObject = {"deleted": False, "before": seal(before)}
        message = Words(gettext_noop("%(number)s objects to delete"), {"number": len(refs)})
        return next_step(cursor, reports, message, shown=shown)

    def go_on(self, step: Step) -> Outcome:
        """Delete what is there; then look what is still left of it."""
        reports = reports_in(step.context.cursor)
        if not step.context.cursor["deleted"]:
            return _delete_all(step, reports)
        return _look(step, reports)


def _delete_all(step: Step, reports: list[JsonObject]) -> Outcome:
    befores = unseal(step.context.cursor["before"])
    for item, before in zip(reports, befores, strict=True):
        if item["state"] == READY:
            continue
        try:
            delete = partial(step.cluster.delete, ref_in(item), uid=str(item["uid"]))
            # A Conflict says that it is gone already, and another one has its name.
            with suppress(Conflict):
                step.change_in_any_case(ref_in(item), before, delete)
        except CodeStreamError as error:
            if error.retryable:
                raise
            message = redact_words(error.words, step.secrets)
            item.update({"state": FAILED, **telling(message)})
            words = joined([str(item["ref"]), message], by=": ")
            failure: JsonObject = {"ref": item["ref"], **telling(message)}
            raise failed(reports, words, [failure]) from error
        item["state"] = RolloutState.PROGRESSING.value
    cursor: JsonObject = {**step.context.cursor, "deleted": True}
    return next_step(cursor, reports, Words(gettext_noop("waiting until everything is gone")))


def _look(step: Step, reports: list[JsonObject]) -> Outcome:
    sights = mark_gone(step, [item for item in reports if item["state"] != READY])
    waiting = next((item for item in reports if item["state"] != READY), None)
    if waiting is not None:
        return wait_for_end(step, reports, waiting, sights)
    objects = cast(Json, reports)
    output: JsonObject = {"objects": objects, "response": {"failures": []}}
    return Done(message=summary(reports), output=output)


def mark_gone(step: Step, items: list[JsonObject]) -> list[Sight]:
    """Say of each whether it is gone, or what holds it; return what is to be seen of the latter."""
    found = fetch_all(step.cluster, [ref_in(item) for item in items])
    sights = []
    for item in items:
        live = found.get(ref_in(item))
        if live is None or uid_of(live) != item["uid"]:
            item.update(GONE)
        else:
            item.update(telling(_what_holds(live)))
            seen = sight(version_of(live.body))
            sights.append(sight_of(live.ref, seen))
    return sights


def wait_for_end(
    step: Step, reports: list[JsonObject], waiting: JsonObject, sights: list[Sight]
) -> Wait:
    """Look again in a while, or when one of the objects changes."""
    objects = cast(Json, reports)
    return wait(
        step,
        message=joined([str(waiting["ref"]), words_of(waiting)], by=": "),
        cursor={**step.context.cursor, "objects": objects},
        output={"objects": objects},
        sights=sights,
    )


def uid_of(live: LiveObject | None) -> str:
    """What tells an object from one that is made anew under its name."""
    return text_at(live.body, "metadata", "uid") if live else ""


def _what_holds(live: LiveObject) -> Words:
    finalizers = value_at(live.body, "metadata", "finalizers")
    if isinstance(finalizers, list) and finalizers:
        names = ", ".join(map(str, finalizers))
        return Words(gettext_noop("waits for its finalizers: %(names)s"), {"names": names})
    return BEING_DELETED
