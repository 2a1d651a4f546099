"""Runs Kubernetes tasks: each action in short steps, on the one client of its cluster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from codestream.core.http import origin
from codestream.core.words import Words, gettext_noop
from endpoints.clients.kubernetes_shared import shared_client
from endpoints.kinds import cluster_access
from endpoints.models import EndpointKind
from executions.runners.base import Outcome, Stopped, TaskContext, Wait
from executions.runners.kubernetes_actions import Action, Step
from executions.runners.kubernetes_delete import Delete
from executions.runners.kubernetes_get import Get
from executions.runners.kubernetes_rollback import Rollback
from executions.runners.kubernetes_send import Send
from executions.runners.kubernetes_stop import left_behind
from executions.runners.kubernetes_undo import Undo
from pipelines.kubernetes_task import KubernetesAction, parse

ACTIONS: Mapping[KubernetesAction, Action] = {
    KubernetesAction.GET: Get(),
    KubernetesAction.CREATE: Send(),
    KubernetesAction.APPLY: Send(),
    KubernetesAction.DELETE: Delete(),
    KubernetesAction.ROLLBACK: Rollback(),
    KubernetesAction.UNDO: Undo(),
}


class KubernetesRunner:
    """Task kind ``K8S``."""

    def start(self, context: TaskContext) -> Outcome:
        """Look what is there; nothing is changed before that is safely written."""
        step = _step(context)
        outcome = ACTIONS[step.task.action].start(step)
        if not isinstance(outcome, Wait):
            return outcome
        return replace(outcome, cursor={**outcome.cursor, "server": step.server})

    def poll(self, context: TaskContext) -> Outcome:
        """Do the next thing: send, delete or patch, and then look until all is well."""
        step = _step(context)
        return ACTIONS[step.task.action].go_on(step)

    def cancel(self, context: TaskContext) -> Stopped:
        """Nothing runs here between two steps: say of every object how it was left."""
        if not context.cursor:
            return Stopped(message=Words(gettext_noop("Nothing was changed.")))
        return left_behind(_step(context))


def _step(context: TaskContext) -> Step:
    task = parse(context.input, context.endpoints)
    endpoint = context.find_endpoint(task.endpoint, EndpointKind.KUBERNETES)
    access = cluster_access(endpoint)
    return Step(
        context=context,
        task=task,
        cluster=shared_client(access),
        endpoint=endpoint.pk,
        server=origin(access.url),
    )
