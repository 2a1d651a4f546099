"""A worker stands still in the midst of a step, others finish its task and a later run, it wakes:
what the later run has deployed stays.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from typing import Any

import pytest

from codestream.core.work import LeaseLostError, claim, kind_named
from endpoints.clients.kubernetes import Kubernetes
from executions.models import Execution
from executions.services import start_execution
from executions.undos import undo_task
from executions.workers import no_workers
from tests.contracts.kubernetes.manifests import deployment, image_of
from tests.factories import UserFactory
from tests.integration.deploys import Target, drive, pipeline_of, run, task_of
from tests.integration.test_kubernetes_actions import source_of, task, web

pytestmark = pytest.mark.django_db
BACK = {"resourceType": "Deployment", "resourceName": "web", "revision": "n-1"}
Change = Callable[[Target], Execution]


def apply(target: Target, image: str) -> str:
    return source_of(task("Send", "APPLY", deployment(target.namespace, image)))


def started(target: Target, source: str) -> Execution:
    pipeline = pipeline_of(target, source)
    return start_execution(pipeline=pipeline, inputs={}, run_as=None, triggered_by="ann")


def an_apply(target: Target) -> Execution:
    return started(target, apply(target, "demo/web:2.5"))


def a_delete(target: Target) -> Execution:
    return started(
        target, source_of(task("Drop", "DELETE", deployment(target.namespace, "demo/web:2.0")))
    )


def a_rollback(target: Target) -> Execution:
    back = BACK | {"namespace": target.namespace}
    return started(target, source_of(task("Back", "ROLLBACK", **back)))


def an_undo(target: Target) -> Execution:
    changed = run(pipeline_of(target, apply(target, "demo/web:2.5")))
    return undo_task(task=task_of(changed), by=UserFactory.create())


def work_and_stand_still(
    execution: Execution, *, before_call: int, then: Callable[[], None]
) -> int:
    """Work the task of the execution as a worker that nobody takes for alive, and let ``then``
    happen before the call to the cluster of this number; return how many calls it made.
    """
    kind = kind_named("task")
    assert kind is not None
    claimed = claim(kind, task_of(execution).pk, owner=uuid.uuid4(), alive=no_workers)
    assert claimed is not None
    calls, going_on = 0, Kubernetes._open

    def standing_still(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == before_call + 1:
            with pytest.MonkeyPatch.context() as others:
                others.setattr(Kubernetes, "_open", going_on)
                then()
        return going_on(*arguments)

    with pytest.MonkeyPatch.context() as patch, suppress(LeaseLostError):
        patch.setattr(Kubernetes, "_open", standing_still)
        kind.step(claimed)
    return calls


@pytest.mark.parametrize("change", [an_apply, a_delete, a_rollback, an_undo])
def test_a_late_worker_changes_nothing_in_the_cluster(target: Target, change: Change) -> None:
    for before_call in count():
        for image in ("demo/web:1.0", "demo/web:2.0"):
            run(pipeline_of(target, apply(target, image)))
        execution = change(target)

        def others_go_on(execution: Execution = execution) -> None:
            assert drive(execution).status == "COMPLETED"
            run(pipeline_of(target, apply(target, "demo/web:3.0")))

        calls = work_and_stand_still(execution, before_call=before_call, then=others_go_on)

        if calls <= before_call:
            assert before_call > 1, "it asked the cluster next to nothing"
            return
        assert image_of(web(target)) == "demo/web:3.0"
