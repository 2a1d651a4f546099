"""The actions Create and Apply: every manifest is sent in order, then its rollout is followed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import cast

from codestream.core.clock import now
from codestream.core.errors import CodeStreamError
from codestream.core.json_types import Json, JsonObject
from codestream.core.redact import redact_object, redact_words
from codestream.core.words import Words, gettext_noop, joined
from endpoints.clients.base import Conflict, Invalid
from endpoints.clients.image_references import ImageReference, parse_image_reference
from endpoints.clients.kubernetes_errors import UnknownKind
from endpoints.clients.kubernetes_objects import (
    Body,
    Change,
    LiveObject,
    ObjectRef,
    ref_of,
    text_at,
)
from executions.runners.base import Outcome, TaskContext, TaskFailedError, Wait
from executions.runners.kubernetes_actions import Step, failed, follow, next_step, seal, unseal
from executions.runners.kubernetes_reports import (
    EXECUTION_ANNOTATION,
    FAILED,
    PUSHES_ANNOTATION,
    SENT,
    TASK_ANNOTATION,
    difference,
    ref_in,
    report,
    reports_in,
)
from executions.telling import telling
from pipelines.kubernetes_task import KubernetesAction
from pipelines.manifests import Manifest, dump, in_order, render

AGAIN = timedelta(seconds=1)
MOST_PUSHES = 100
_LEFT_ALONE = Words(gettext_noop("exists already, left alone"))


class Send:
    """Create and Apply."""

    def start(self, step: Step) -> Outcome:
        """Read what is there, so that what is sent can be compared with it, whoever dies."""
        manifests = in_order(step.task.manifests)
        bodies = [render(item, step.context.scope) for item in manifests]
        _check_kinds(step, bodies)
        before = [_found(step, ref_of(body)) for body in bodies]
        reports = [report(ref_of(body)) for body in bodies]
        cursor: JsonObject = {"before": seal(cast(Json, before)), "next": 0}
        shown = [render(item, step.context.shown) for item in manifests]
        told = _told(gettext_noop("%(number)s objects to be sent"), bodies)
        outcome = next_step(cursor, reports, told, shown=_shown_input(step, shown))
        return replace(outcome, pushes=pushes_in(shown))

    def go_on(self, step: Step) -> Outcome:
        """Send what is not sent yet; then look at the rollouts."""
        reports = reports_in(step.context.cursor)
        if _next(step) == len(reports):
            return follow(step)
        return _send_all(step, reports)


def _send_all(step: Step, reports: list[JsonObject]) -> Outcome:
    cursor = step.context.cursor
    manifests, before = in_order(step.task.manifests), unseal(cursor["before"])
    first, answers = _next(step), {}
    for at in range(first, len(manifests)):
        body = _stamped(render(manifests[at], step.context.scope), step.context)
        try:
            live, change, message = _send(step, body, before[at])
        except CodeStreamError as error:
            if error.retryable and at == first:
                raise
            if error.retryable or (
                isinstance(error, UnknownKind) and _is_defined_here(step, body, manifests)
            ):
                place: JsonObject = {**cursor, "next": at}
                return next_step(place, reports, error.words, pause=AGAIN)
            message = redact_words(error.words, step.secrets)
            reports[at] |= {"state": FAILED, **telling(message)}
            failure: JsonObject = {"ref": reports[at]["ref"], **telling(message)}
            words = joined([str(reports[at]["ref"]), message], by=": ")
            raise failed(reports, words, [failure]) from error
        diff = difference(before[at], live.body, step.secrets)
        if change is Change.CONFIGURED and not diff:
            change = Change.UNCHANGED  # but for the marks of who sent it
        told = report(live.ref, change=change.value, state=SENT, message=message)
        reports[at] = {**told, "diff": diff}
        answers[ref_in(reports[at])] = live
    message = _told(gettext_noop("%(number)s objects sent, waiting for the rollout"), reports)
    sent = next_step({**cursor, "next": len(reports)}, reports, message)
    return _look_at_once(step, sent, answers)


def _look_at_once(step: Step, sent: Wait, answers: Mapping[ObjectRef, LiveObject]) -> Outcome:
    """Look at the rollout in the step that has sent the objects, as the cluster has answered: they
    are sent again, and that changes nothing, should nobody be there any more to write down that
    they are sent. Where the look fails that is written down first, and the next step looks.
    """
    step = replace(step, context=replace(step.context, cursor=sent.cursor))
    try:
        return follow(step, known=answers)
    except TaskFailedError:
        raise
    except CodeStreamError as error:
        return replace(sent, message=error.words, until=now() + (AGAIN * error.retryable))
    except Exception:  # noqa: BLE001 - a fault of ours meets the next step as well
        return sent


def _told(text: str, objects: Sequence[object]) -> Words:
    return Words(text, {"number": len(objects)})


def _next(step: Step) -> int:
    return int(str(step.context.cursor["next"]))


def _send(step: Step, body: JsonObject, before: JsonObject) -> tuple[LiveObject, Change, str]:
    if step.task.action is KubernetesAction.APPLY:
        apply = partial(step.cluster.apply, body, force=step.task.force, before=before)
        applied = step.change_in_any_case(ref_of(body), before, apply)
        return applied.object, applied.change, ""
    step.context.require_held()
    try:
        return step.cluster.create(body), Change.CREATED, ""
    except Conflict:
        found = step.cluster.find(ref_of(body))
        if found is None:
            raise
    if found.annotation(TASK_ANNOTATION) == step.context.task_id:
        return found, Change.CREATED, ""
    if step.task.continue_on_conflict:
        return found, Change.UNCHANGED, _LEFT_ALONE
    raise Conflict(
        Words(
            gettext_noop("%(ref)s exists already and was not created by this task."),
            {"ref": str(found.ref)},
        ),
        advice=gettext_noop("Use the action Apply, or switch on Continue on conflict."),
    )


def pushes_in(bodies: Sequence[Body]) -> tuple[ImageReference, ...]:
    """The images that objects push when they run, as their annotation declares, parted by blanks
    or commas. Raises Invalid.
    """
    found: list[ImageReference] = []
    for body in bodies:
        declared = text_at(body, "metadata", "annotations", PUSHES_ANNOTATION)
        try:
            found += map(parse_image_reference, declared.replace(",", " ").split())
            if len(found) > MOST_PUSHES:
                words = gettext_noop("A task can push %(number)s images at most.")
                raise Invalid(Words(words, {"number": MOST_PUSHES}), advice="")
        except Invalid as error:
            where = f"{ref_of(body)}: {PUSHES_ANNOTATION}"
            raise Invalid(joined([where, error.words], by=": "), advice="") from error
    return tuple(found)


def _check_kinds(step: Step, bodies: Sequence[JsonObject]) -> None:
    """Refuse a kind that nobody knows before anything is changed."""
    for body in bodies:
        ref = ref_of(body)
        if not step.cluster.knows(ref) and not _is_among(bodies, ref):
            raise UnknownKind(
                Words(
                    gettext_noop(
                        "%(ref)s: the cluster does not know kind %(kind)s of %(version)s."
                    ),
                    {"ref": str(ref), "kind": ref.kind, "version": ref.api_version},
                )
            )


def _is_defined_here(step: Step, body: Body, manifests: Sequence[Manifest]) -> bool:
    """Whether a definition among what this task sends is that of the object's kind."""
    return _is_among([render(item, step.context.shown) for item in manifests], ref_of(body))


def _is_among(bodies: Sequence[Body], ref: ObjectRef) -> bool:
    group = ref.api_version.rpartition("/")[0]
    return any(
        body.get("kind") == "CustomResourceDefinition"
        and text_at(body, "spec", "group") == group
        and text_at(body, "spec", "names", "kind") == ref.kind
        for body in bodies
    )


def _found(step: Step, ref: ObjectRef) -> JsonObject:
    """The object before the task, empty where there is none."""
    live = step.cluster.find(ref) if step.cluster.knows(ref) else None
    return dict(live.body) if live is not None else {}


def _shown_input(step: Step, shown: Sequence[JsonObject]) -> JsonObject:
    return {
        "action": step.task.action.value,
        "endpoint": step.task.endpoint,
        "yaml": "---\n".join(dump(redact_object(body)) for body in shown),
    }


def _stamped(body: JsonObject, context: TaskContext) -> JsonObject:
    """Add who sent the object: it tells an own earlier try from a stranger's object."""
    metadata = cast(JsonObject, body["metadata"])
    annotations = metadata.get("annotations") or {}
    marks = {EXECUTION_ANNOTATION: context.execution_id, TASK_ANNOTATION: context.task_id}
    metadata["annotations"] = {**cast(JsonObject, annotations), **marks}
    return body
