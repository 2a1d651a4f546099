"""The action Undo: every object that a task changed becomes again what it was before that task.

What the task created is deleted, what it deleted is created anew, and what it changed gets its
fields back. One object that cannot be put back does not keep the others from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import cast

from codestream.core.errors import CodeStreamError
from codestream.core.json_types import Json, JsonObject
from codestream.core.redact import redact_words
from codestream.core.words import Words, gettext_noop, joined
from endpoints.clients.base import Conflict, Outdated
from endpoints.clients.kubernetes_objects import (
    Change,
    LiveObject,
    ObjectRef,
    creatable,
    restorable,
)
from endpoints.clients.revisions import merge_changes
from endpoints.clients.rollout import RolloutState
from executions.runners.base import Outcome, PastTask, TaskFailedError
from executions.runners.kubernetes_actions import (
    Step,
    failed,
    follow,
    next_step,
    seal,
    unseal,
    while_outdated,
)
from executions.runners.kubernetes_delete import BEING_DELETED, mark_gone, uid_of, wait_for_end
from executions.runners.kubernetes_reports import (
    FAILED,
    NOT_SENT,
    READY,
    SENT,
    TASK_ANNOTATION,
    difference,
    ref_in,
    report,
    reports_in,
)
from executions.telling import telling, words_of
from pipelines.expressions import evaluate
from pipelines.kubernetes_task import KIND

_GONE_ALREADY = Words(gettext_noop("is gone already"))
_SENT_AGAIN = Words(gettext_noop("left alone: somebody else has sent it again since"))
_ANEW = Words(gettext_noop("created anew"))
_AS_IT_WAS = Words(gettext_noop("is as it was"))
_PUT_BACK = Words(gettext_noop("fields put back"))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Object:
    """An object of the other task: what that said of it, and the object as it is now."""

    ref: ObjectRef
    state: str
    live: LiveObject | None

    @classmethod
    def of(cls, step: Step, item: JsonObject) -> _Object:
        """The object of a report."""
        ref = ref_in(item)
        live = step.cluster.find(ref) if step.cluster.knows(ref) else None
        return cls(ref=ref, state=str(item["state"]), live=live)

    @property
    def body(self) -> JsonObject:
        """What it is now, empty where it is not there."""
        return dict(self.live.body) if self.live else {}

    def is_touched_by(self, past: PastTask) -> bool:
        """Whether the task sent it, or may have without hearing of it."""
        bears_mark = self.live is not None and self.live.annotation(TASK_ANNOTATION) == past.id
        return self.state != NOT_SENT or bears_mark


class Undo:
    """Puts back what another task of the project changed."""

    def start(self, step: Step) -> Outcome:
        """Collect what the objects were before the other task, and what they are now."""
        past = _past_task(step)
        objects = [_Object.of(step, item) for item in reports_in(past.output)]
        pairs = list(zip(objects, unseal(past.cursor["before"]), strict=True))
        # The last one first: what needs the others goes before they do.
        touched = [pair for pair in reversed(pairs) if pair[0].is_touched_by(past)]
        cursor: JsonObject = {
            "past": seal([before for _, before in touched]),
            "before": seal([each.body for each, _ in touched]),
            "undone": past.id,
            "next": 0,
        }
        reports = [report(each.ref) for each, _ in touched]
        shown: JsonObject = {
            "action": step.task.action.value,
            "endpoint": step.task.endpoint,
            "undone": past.id,
        }
        text = gettext_noop("%(number)s objects to be put back")
        message = Words(text, {"number": len(reports)})
        return next_step(cursor, reports, message, shown=shown)

    def go_on(self, step: Step) -> Outcome:
        """Put back what is left; then wait for what goes, and for the rollouts."""
        reports = reports_in(step.context.cursor)
        if int(str(step.context.cursor["next"])) < len(reports):
            return _put_back_all(step, reports)
        going = [item for item in reports if _is_going(item)]
        if going:
            sights = mark_gone(step, going)
            waiting = next((item for item in going if item["state"] != READY), going[0])
            return wait_for_end(step, reports, waiting, sights)
        return follow(step)


def _past_task(step: Step) -> PastTask:
    undone = step.task.undone
    if undone is None:
        raise TaskFailedError(Words(gettext_noop("The task does not say what is to be undone.")))
    scope = step.context.scope
    stage, _, name = evaluate(undone.task, scope).partition(".")
    past = step.context.find_task(evaluate(undone.execution, scope), stage, name)
    if past.kind != KIND or "before" not in past.cursor:
        words = gettext_noop("%(task)s has changed nothing in a cluster.")
        raise TaskFailedError(Words(words, {"task": f"{stage}.{name}"}))
    if past.input.get("endpoint") != step.task.endpoint:
        raise TaskFailedError(
            Words(
                gettext_noop(
                    "%(task)s went to endpoint %(past)s, and this task goes to %(endpoint)s."
                ),
                {
                    "task": f"{stage}.{name}",
                    "past": str(past.input.get("endpoint")),
                    "endpoint": step.task.endpoint,
                },
            )
        )
    server = past.cursor.get("server", step.server)  # tasks of earlier releases do not say it
    if server != step.server:
        raise TaskFailedError(
            Words(
                gettext_noop(
                    "%(task)s went to the cluster at %(past)s, and endpoint %(endpoint)s leads to "
                    "%(server)s by now. Nothing was changed. To undo it, give the endpoint its "
                    "address back."
                ),
                {
                    "task": f"{stage}.{name}",
                    "past": str(server),
                    "endpoint": step.task.endpoint,
                    "server": step.server,
                },
            )
        )
    return past


def _put_back_all(step: Step, reports: list[JsonObject]) -> Outcome:
    cursor = step.context.cursor
    past, first = unseal(cursor["past"]), int(str(cursor["next"]))
    for at in range(first, len(reports)):
        try:
            reports[at] = while_outdated(partial(_put_back, step, reports[at], past[at]))
        except CodeStreamError as error:
            if error.retryable and at == first:
                raise
            if error.retryable:
                return next_step({**cursor, "next": at}, reports, error.words)
            message = redact_words(error.words, step.secrets)
            reports[at].update({"state": FAILED, **telling(message)})
    broken = [item for item in reports if item["state"] == FAILED]
    if broken:
        told = [joined([str(item["ref"]), words_of(item)], by=": ") for item in broken]
        text = gettext_noop("Not everything could be put back: %(objects)s")
        words = Words(text, {"objects": joined(told, by="; ")})
        failures = [{"ref": item["ref"], **telling(words_of(item))} for item in broken]
        raise failed(reports, words, failures)
    text = gettext_noop("%(number)s objects put back, waiting for the rollout")
    message = Words(text, {"number": len(reports)})
    return next_step({**cursor, "next": len(reports)}, reports, message)


def _put_back(step: Step, item: JsonObject, past: JsonObject) -> JsonObject:
    """Make one object what it was; it may have changed again since, or be back already."""
    ref = ref_in(item)
    live = step.cluster.find(ref) if step.cluster.knows(ref) else None
    if not past:
        if live is None:
            return {**item, **_left(_GONE_ALREADY)}
        if live.annotation(TASK_ANNOTATION) != step.context.cursor["undone"]:
            return {**item, **_left(_SENT_AGAIN)}
        try:
            step.change(live.body, partial(step.cluster.delete, ref, uid=uid_of(live)))
        except Conflict as error:  # another one of this name has come in its place
            raise Outdated(error.words) from error
        state, change = RolloutState.PROGRESSING.value, Change.DELETED.value
        told = {**item, "state": state, "change": change, **telling(BEING_DELETED)}
        return {**told, "uid": uid_of(live), "diff": difference(live.body, {}, step.secrets)}
    if live is None:
        step.context.require_held()
        after, change = step.cluster.create(creatable(past)), Change.CREATED
        told = report(ref, change=change.value, state=SENT, message=_ANEW)
        return {**told, "diff": difference({}, after.body, step.secrets)}
    changes = merge_changes(cast(Json, restorable(live.body)), cast(Json, restorable(past)))
    if not changes:
        return report(ref, change="UNCHANGED", state=SENT, message=_AS_IT_WAS)
    after = step.change(live.body, partial(step.cluster.patch, ref, changes))
    diff = difference(live.body, after.body, step.secrets)
    if not diff:  # but for the marks of who sent it
        return report(ref, change="UNCHANGED", state=SENT, message=_AS_IT_WAS)
    told = report(ref, change=Change.CONFIGURED.value, state=SENT, message=_PUT_BACK)
    return {**told, "diff": diff}


def _left(message: Words) -> JsonObject:
    return {"state": READY, "change": Change.UNCHANGED.value, **telling(message)}


def _is_going(item: JsonObject) -> bool:
    return item["change"] == Change.DELETED.value and item["state"] != READY
