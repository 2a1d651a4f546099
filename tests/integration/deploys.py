"""Pipelines that deploy to the cluster of the tests, driven to their end as a worker would."""

from __future__ import annotations

import time
from dataclasses import dataclass

from codestream.accounts.models import User
from codestream.core.work import wake_all
from endpoints.clients.kubernetes import ClusterAccess, Kubernetes
from executions.models import Execution, TaskRun
from executions.services import start_execution
from executions.worker import drain
from pipelines.models import Pipeline
from tests.factories import KubernetesFactory, PipelineFactory

PATIENCE_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where the pipelines of a test deploy to."""

    cluster: Kubernetes
    access: ClusterAccess
    namespace: str


def pipeline_of(target: Target, source: str) -> Pipeline:
    """A pipeline whose project has the endpoint ``cluster``."""
    pipeline: Pipeline = PipelineFactory(source=source)
    access = target.access
    KubernetesFactory(
        project=pipeline.project,
        name="cluster",
        properties={
            "kubernetesURL": access.url,
            "authType": "token",
            "certAuthorityData": access.ca_data,
        },
        credentials={
            "token": access.token,
            "certData": access.cert_data,
            "certKeyData": access.key_data,
        },
    )
    return pipeline


def run(
    pipeline: Pipeline, *, as_: User | None = None, source: str = "USER", **inputs: str
) -> Execution:
    """Start the pipeline and drive it to its end, as a worker would over some seconds."""
    execution = start_execution(
        pipeline=pipeline, inputs=inputs, run_as=as_, triggered_by="ann", source=source
    )
    return drive(execution)


def drive(execution: Execution) -> Execution:
    """Drive an execution to its end, as a worker would over some seconds."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        drain()
        execution.refresh_from_db()
        if execution.is_over:
            return execution
        time.sleep(0.05)
        wake_all(TaskRun.objects.filter(wake_at__isnull=False))
    told = [task.message for task in TaskRun.objects.filter(stage_run__execution=execution)]
    raise AssertionError(f"still {execution.status}: {told}")


def task_of(execution: Execution, name: str = "") -> TaskRun:
    """The one task of the execution, or the one of this name."""
    rows = TaskRun.objects.filter(stage_run__execution=execution)
    return rows.get(name=name) if name else rows.get()
