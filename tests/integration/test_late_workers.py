"""A worker stands still in the midst of a step, others finish its task and a later run, it wakes:
what the later run has left stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import Any

import pytest
from django.db import connection

from codestream.core.work import LeaseLostError
from endpoints.clients.kubernetes import Kubernetes
from executions.models import Execution
from executions.services import cancel_execution, start_execution
from executions.tasks import work_task
from executions.undos import undo_task
from tests.contracts.kubernetes.manifests import deployment, image_of
from tests.factories import UserFactory
from tests.integration.claims import taken
from tests.integration.deploys import Target, drive, pipeline_of, run, task_of
from tests.integration.test_kubernetes_actions import source_of, task, web_of

pytestmark = pytest.mark.django_db(transaction=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lab:
    """Runs of pipelines that all change the deployment ``web``."""

    target: Target

    def apply(self, version: str) -> str:
        manifest = deployment(self.target.namespace, f"demo/web:{version}")
        return source_of(task("Send", "APPLY", manifest))

    def create(self) -> str:
        manifest = deployment(self.target.namespace, "demo/web:2.5")
        return source_of(task("Make", "CREATE", manifest))

    def delete(self) -> str:
        manifest = deployment(self.target.namespace, "demo/web:2.0")
        return source_of(task("Drop", "DELETE", manifest))

    def roll_back(self) -> str:
        which = {"resourceType": "Deployment", "resourceName": "web", "revision": "n-1"}
        return source_of(task("Back", "ROLLBACK", namespace=self.target.namespace, **which))

    def run(self, source: str) -> Execution:
        ended = run(pipeline_of(self.target, source))
        assert ended.status == "COMPLETED", ended.message
        return ended

    def start(self, source: str) -> Execution:
        pipeline = pipeline_of(self.target, source)
        return start_execution(pipeline=pipeline, inputs={}, run_as=None, triggered_by="ann")

    def undo(self, source: str) -> Execution:
        return undo_task(task=task_of(self.run(source)), by=UserFactory.create())

    @property
    def image(self) -> str | None:
        """What is deployed, None where nothing is."""
        found = self.target.cluster.find(web_of(self.target))
        return image_of(found.body) if found else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What is there at first, who stands still, and what the later run does."""

    name: str
    first: tuple[str, ...] = ("2.0",)
    begin: Callable[[Lab], Execution]
    is_canceled: bool = False
    later: str = "3.0"
    """The version that the later run deploys; empty where it deletes the deployment."""


CASES = [
    Case(name="apply", begin=lambda lab: lab.start(lab.apply("2.5"))),
    Case(name="apply, then a delete", begin=lambda lab: lab.start(lab.apply("2.5")), later=""),
    Case(name="create", first=(), begin=lambda lab: lab.start(lab.create()), later=""),
    Case(name="delete", begin=lambda lab: lab.start(lab.delete())),
    Case(name="delete, canceled", begin=lambda lab: lab.start(lab.delete()), is_canceled=True),
    Case(name="rollback", first=("1.0", "2.0"), begin=lambda lab: lab.start(lab.roll_back())),
    Case(name="undo of an apply", begin=lambda lab: lab.undo(lab.apply("2.5"))),
    Case(name="undo of a delete", begin=lambda lab: lab.undo(lab.delete()), later=""),
]


class Standstill:
    """Counts the moments in which a worker may stand still: before each question to the database
    outside a transaction, and before each call to the cluster. At the one with the number ``at``
    others go on, once.
    """

    def __init__(self, others_go_on: Callable[[], None], *, at: int) -> None:
        self._others_go_on, self._at = others_go_on, at
        self._is_watching = True
        self.moments = 0

    def work(self, execution: Execution) -> None:
        """Work the task of the execution as a worker that nobody takes for alive."""
        claimed = taken(task_of(execution))
        with (
            pytest.MonkeyPatch.context() as patch,
            connection.execute_wrapper(self._ask),
            suppress(LeaseLostError),
        ):
            patch.setattr(Kubernetes, "_open", self._calling(Kubernetes._open))
            work_task(claimed)

    def _calling(self, going_on: Callable[..., Any]) -> Callable[..., Any]:
        def call(cluster: Kubernetes, method: str, *arguments: Any) -> Any:
            # What is created has no version that it could be meant for: decision 24, Limits.
            if method != "POST":
                self._pass()
            return going_on(cluster, method, *arguments)

        return call

    def _ask(self, execute: Any, *statement: Any) -> Any:
        if not connection.in_atomic_block:
            self._pass()
        return execute(*statement)

    def _pass(self) -> None:
        if self._is_watching:
            self.moments += 1
            if self.moments == self._at + 1:
                self._is_watching = False
                self._others_go_on()
                self._is_watching = True


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_late_worker_changes_nothing_in_the_cluster(target: Target, case: Case) -> None:
    lab = Lab(target=target)
    for at in count():
        if lab.image is not None and not case.first:
            lab.run(lab.delete())
        for version in case.first:
            lab.run(lab.apply(version))
        execution = case.begin(lab)

        def others_go_on(execution: Execution = execution) -> None:
            if case.is_canceled:
                cancel_execution(execution=execution, by=UserFactory.create())
            assert drive(execution).status == ("CANCELED" if case.is_canceled else "COMPLETED")
            lab.run(lab.apply(case.later) if case.later else lab.delete())

        standstill = Standstill(others_go_on, at=at)
        standstill.work(execution)

        if standstill.moments <= at:
            assert at > 4, "it did next to nothing"
            return
        assert lab.image == (f"demo/web:{case.later}" if case.later else None)
