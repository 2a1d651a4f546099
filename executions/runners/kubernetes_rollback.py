"""The action Rollback: a workload gets the pod template of a revision that the cluster holds."""

from __future__ import annotations

from functools import partial

from codestream.core.json_types import JsonObject
from codestream.core.words import Words, gettext_noop, joined
from endpoints.clients.base import Invalid
from endpoints.clients.kubernetes_objects import (
    Change,
    LiveObject,
    ObjectRef,
    value_at,
)
from endpoints.clients.revisions import (
    HOLDERS,
    Revision,
    chosen,
    merge_changes,
    revisions_of,
    template_of,
)
from endpoints.clients.rollout import label_selector
from executions.runners.base import Outcome, TaskFailedError
from executions.runners.kubernetes_actions import Step, follow, next_step, seal, while_outdated
from executions.runners.kubernetes_reports import (
    EXECUTION_ANNOTATION,
    SENT,
    TASK_ANNOTATION,
    difference,
    ref_in,
    report,
    reports_in,
)
from pipelines.expressions import evaluate

WORKLOADS = "apps/v1"


class Rollback:
    """Puts the pod template of an earlier revision back, and follows the rollout."""

    def start(self, step: Step) -> Outcome:
        """Resolve the revision, once: after the change ``n-1`` would mean another one."""
        target = step.task.target
        if target is None:
            raise TaskFailedError(
                Words(gettext_noop("The task does not say what is to be rolled back."))
            )
        kind, name, namespace, wanted = (
            evaluate(text, step.context.scope)
            for text in (target.kind, target.name, target.namespace, target.revision)
        )
        ref = ObjectRef(api_version=WORKLOADS, kind=kind, name=name, namespace=namespace)
        live = step.cluster.get(ref)
        if value_at(live.body, "spec", "paused") is True:
            paused = Words(gettext_noop("%(ref)s is paused."), {"ref": str(live.ref)})
            raise Invalid(paused, advice=gettext_noop("Resume it before it is rolled back."))
        revision = chosen(_revisions(step, live), wanted)
        cursor: JsonObject = {
            "revision": revision.number,
            "holder": revision.holder,
            "before": seal([dict(live.body)]),
        }
        shown: JsonObject = {
            "action": step.task.action.value,
            "endpoint": step.task.endpoint,
            "resourceType": kind,
            "resourceName": name,
            "namespace": live.ref.namespace,
            "revision": revision.number,
        }
        message = Words(
            gettext_noop("%(ref)s goes back to revision %(number)s"),
            {"ref": str(live.ref), "number": revision.number},
        )
        return next_step(cursor, [report(live.ref, message=message)], message, shown=shown)

    def go_on(self, step: Step) -> Outcome:
        """Change the template, unless an earlier try did; then look at the rollout."""
        if step.context.cursor.get("patched"):
            return follow(step)
        return while_outdated(partial(_patch_template, step))


def _patch_template(step: Step) -> Outcome:
    reports = reports_in(step.context.cursor)
    live = step.cluster.get(ref_in(reports[0]))
    holder = step.cluster.get(_holder(live.ref, str(step.context.cursor["holder"])))
    changes = merge_changes(value_at(live.body, "spec", "template"), dict(template_of(holder.body)))
    after, change = live, Change.UNCHANGED
    if changes:
        patch = partial(step.cluster.patch, live.ref, _patch(step, changes))
        after, change = step.change(live.body, patch), Change.CONFIGURED
    message = Words(
        gettext_noop("back at revision %(number)s, waiting for the rollout"),
        {"number": str(step.context.cursor["revision"])},
    )
    told = report(live.ref, change=change.value, state=SENT, message=message)
    told["diff"] = difference(live.body, after.body, step.secrets)
    return next_step(
        {**step.context.cursor, "patched": True},
        [told],
        joined([str(live.ref), message], by=": "),
    )


def _patch(step: Step, changes: JsonObject) -> JsonObject:
    marks = {
        EXECUTION_ANNOTATION: step.context.execution_id,
        TASK_ANNOTATION: step.context.task_id,
    }
    return {"metadata": {"annotations": {**marks}}, "spec": {"template": changes}}


def _revisions(step: Step, live: LiveObject) -> tuple[Revision, ...]:
    holders = step.cluster.list(
        WORKLOADS,
        HOLDERS[live.ref.kind],
        namespace=live.ref.namespace,
        label_selector=label_selector(live.body),
    )
    return revisions_of(live.body, (holder.body for holder in holders))


def _holder(owner: ObjectRef, name: str) -> ObjectRef:
    kind = HOLDERS[owner.kind]
    return ObjectRef(api_version=WORKLOADS, kind=kind, name=name, namespace=owner.namespace)
