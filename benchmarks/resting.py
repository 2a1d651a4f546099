"""Executions that wait, made all at once: for a person, for a time, for a rollout. Import it where
``bench.product_at_hand`` holds, after ``scene.make_pipelines``.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Sum

from codestream.core.clock import now
from codestream.core.json_types import JsonObject
from codestream.core.work import kind_named
from codestream.operations.collector import oldest_due
from endpoints.clients.kubernetes_rollouts import look
from endpoints.clients.kubernetes_shared import shared_client
from endpoints.kinds import cluster_access
from endpoints.models import Endpoint
from executions.models import Execution, RolloutWatch, StageRun, TaskRun
from executions.runners.kubernetes_actions import UNASKED, seal, sight_of
from executions.runners.kubernetes_reports import ref_in
from executions.states import Status
from pipelines.models import Pipeline, PipelineRevision

BATCH = 1000
FILLING = timedelta(seconds=20)
"""Longer than it takes to make them, so that none is late before the worker has begun."""
FAR = timedelta(days=1)
REPORT: JsonObject = {
    "ref": "deployment/web",
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "name": "web",
    "namespace": "demo",
    "change": "CREATED",
    "state": "SENT",
    "message": "",
}


def hold(number: int) -> None:
    """Let half of them wait for a person, half for a time that comes within the next hour."""

    def wakes_at(place: int) -> datetime | None:
        return now() + timedelta(minutes=30, seconds=place % 1800) if place % 2 else None

    _fill(number, Status.WAITING, wakes_at, message="Waits for an answer.")


def roll_out(number: int) -> None:
    """Let all of them follow a rollout that a watch covers, their next looks dealt over the time
    between two looks.
    """

    def wakes_at(place: int) -> datetime:
        return now() + FILLING + UNASKED * (place / number)

    cursor = {"objects": [REPORT], "next": 1, "before": seal([]), "since": now().isoformat()}
    tasks = _fill(number, Status.RUNNING, wakes_at, cursor=cursor)
    endpoint = Endpoint.objects.clusters().get()
    ref = ref_in(REPORT)
    seen = look(shared_client(cluster_access(endpoint)), ref).seen
    sights = [list(sight_of(ref, seen))]
    RolloutWatch.objects.bulk_create(
        [
            RolloutWatch(
                task=task, endpoint=endpoint, sights=sights, is_covered=True, told_at=now()
            )
            for task in tasks
        ],
        BATCH,
    )


def woken() -> int:
    """Return how often all of them together were woken."""
    return TaskRun.objects.aggregate(total=Sum("wake_seq"))["total"] or 0


def count() -> int:
    """Return how many executions are not over, and their tasks neither."""
    return TaskRun.objects.filter(
        status__in=(Status.RUNNING, Status.WAITING),
        stage_run__execution__in=Execution.objects.live(),
    ).count()


def lag() -> float:
    """Return for how many seconds the first task in line has waited for a worker."""
    kind = kind_named("task")
    since = oldest_due(kind) if kind else None
    return max((now() - since).total_seconds(), 0.0) if since else 0.0


def forget() -> None:
    """Delete them all."""
    Execution.objects.all().delete()


@transaction.atomic
def _fill(
    number: int, status: Status, wakes_at: Callable[[int], datetime | None], **columns: Any
) -> list[TaskRun]:
    pipeline, revision = Pipeline.objects.get(), PipelineRevision.objects.get()
    executions = [
        Execution(
            project_id=pipeline.project_id,
            pipeline=pipeline,
            pipeline_name=pipeline.name,
            revision=revision,
            index=place + 1,
            status=status,
            started_at=now(),
            inputs={"DOCKER_IMAGE": "demo/web", "DOCKER_TAG": f"1.{place}"},
        )
        for place in range(number)
    ]
    stages = [
        StageRun(execution=each, position=0, name="Deploy", status=status, started_at=now())
        for each in executions
    ]
    tasks = [
        TaskRun(
            stage_run=stage,
            position=0,
            group=0,
            name="Apply",
            kind="K8S",
            status=status,
            started_at=now(),
            deadline_at=now() + FAR,
            wake_at=wakes_at(place),
            **columns,
        )
        for place, stage in enumerate(stages)
    ]
    Execution.objects.bulk_create(executions, BATCH)
    StageRun.objects.bulk_create(stages, BATCH)
    TaskRun.objects.bulk_create(tasks, BATCH)
    return tasks
