"""The action Get: objects by name, or all of a kind that bear a label."""

from __future__ import annotations

from typing import cast

from codestream.core.json_types import Json, JsonObject
from codestream.core.redact import redact_object
from codestream.core.words import Words, gettext_noop
from endpoints.clients.kubernetes_objects import CLUSTER_DEFAULT_NAMESPACE, LiveObject, ref_of
from executions.runners.base import Done, Outcome
from executions.runners.kubernetes_actions import Step
from executions.runners.kubernetes_reports import (
    READY,
    camel_plural,
    report,
    without_secrets,
)
from pipelines.expressions import evaluate
from pipelines.manifests import Manifest, render

_EXISTS = Words(gettext_noop("exists"))


class Get:
    """Reads objects; there is nothing to wait for."""

    def start(self, step: Step) -> Outcome:
        """Read everything; an object that is named and not there fails the task."""
        found = [live for item in step.task.manifests for live in _read(step, item)]
        response: JsonObject = {"failures": []}
        for live in found:
            plural = camel_plural(live.ref.kind, live.resource)
            group = cast(JsonObject, response.setdefault(plural, {}))
            group[live.ref.name] = without_secrets(redact_object(dict(live.body)), step.secrets)
        reports = [report(live.ref, state=READY, message=_EXISTS) for live in found]
        return Done(
            message=Words(gettext_noop("%(number)s objects found"), {"number": len(found)}),
            output={"objects": cast(Json, reports), "response": response},
            input={"action": step.task.action.value, "endpoint": step.task.endpoint},
        )

    def go_on(self, step: Step) -> Outcome:
        """Read again: an earlier step came to nothing."""
        return self.start(step)


def _read(step: Step, manifest: Manifest) -> tuple[LiveObject, ...]:
    ref = ref_of(render(manifest, step.context.scope))
    label = evaluate(step.task.filter_by_label, step.context.scope)
    if not label:
        return (step.cluster.get(ref),)
    found = step.cluster.list(
        ref.api_version,
        ref.kind,
        namespace=ref.namespace or CLUSTER_DEFAULT_NAMESPACE,
        label_selector=label,
    )
    return tuple(live for live in found if ref.name in ("", live.ref.name))
