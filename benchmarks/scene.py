"""What the benchmarks find in the product's database: pipelines that a push starts, the workers,
and how every push ended. Import it where ``bench.product_at_hand`` holds.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime

from benchmarks.bench import READY_SECONDS, BenchmarkError, WebServer, program, until
from codestream.accounts.models import ServiceRole, User
from codestream.accounts.services import issue_token
from codestream.projects.models import Project
from endpoints.models import Endpoint, EndpointKind
from endpoints.services import save_endpoint
from executions.models import Execution, Worker
from executions.states import TERMINAL
from pipelines.models import Pipeline
from pipelines.services import save_pipeline
from webhooks.matching import Verdict
from webhooks.models import DockerWebhook, RegistryEvent
from webhooks.services import save_webhook

SOURCE = """\
name: {name}
concurrency: {concurrency}
input: {{DOCKER_IMAGE: '', DOCKER_TAG: ''}}
stageOrder: [Deploy]
stages:
  Deploy:
    taskOrder: [Apply]
    tasks:
      Apply:
        type: K8S
        endpoints: {{kubernetesServer: cluster}}
        input:
          action: APPLY
          timeout: 60
          yaml: |
            apiVersion: apps/v1
            kind: Deployment
            metadata: {{name: web, namespace: demo}}
            spec:
              selector: {{matchLabels: {{app: web}}}}
              template:
                metadata: {{labels: {{app: web}}}}
                spec:
                  containers:
                    - {{name: web, image: "${{input.DOCKER_IMAGE}}:${{input.DOCKER_TAG}}"}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """How one delivery ended; the execution's columns are those of the run that it started."""

    event: str
    verdict: str
    stored: datetime
    pipeline: str
    index: int
    status: str
    started: datetime
    finished: datetime


def make_pipelines(cluster_url: str, *, number: int = 1, concurrency: int = 1) -> list[str]:
    """Make pipelines of one Kubernetes task, and a hook for each; return the hooks' addresses."""
    owner = User.objects.create(username="admin", service_role=ServiceRole.ADMINISTRATOR)
    project = Project.objects.create(name="Demo")
    registry = save_endpoint(
        endpoint=Endpoint(project=project, kind=EndpointKind.DOCKER_REGISTRY),
        name="hub",
        description="",
        is_restricted=False,
        properties={"serverType": "DockerHub", "repoURL": "https://hub.docker.com/r/demo/web"},
        credentials={},
        by=owner,
    )
    save_endpoint(
        endpoint=Endpoint(project=project, kind=EndpointKind.KUBERNETES),
        name="cluster",
        description="",
        is_restricted=False,
        properties={"kubernetesURL": cluster_url, "authType": "token"},
        credentials={"token": "of-the-stand-in"},
        by=owner,
    )
    token = issue_token(owner=owner, name="benchmark")[1]
    hooks = []
    for each in range(number):
        source = SOURCE.format(name=f"deploy-{each + 1}", concurrency=concurrency)
        pipeline = save_pipeline(project=project, source=source, author=owner)
        hooks.append(_hook(pipeline, registry, token, owner))
    return hooks


def _hook(pipeline: Pipeline, registry: Endpoint, token: str, owner: User) -> str:
    webhook = DockerWebhook(
        project=pipeline.project,
        name=pipeline.name,
        endpoint=registry,
        pipeline=pipeline,
        api_token=token,
        settle_seconds=0,
        pin_digest=False,
        mirror_mode=DockerWebhook.MirrorMode.MANUAL,
    )
    saved = save_webhook(webhook, by=owner)
    return saved.hook_url(saved.secrets.get(retired_at=None).secret)


@contextmanager
def workers(server: WebServer, number: int = 1) -> Iterator[list[int]]:
    """So many workers beside the web server, all of them alive; their process numbers."""
    command = [sys.executable, "manage.py", "worker"]
    with ExitStack() as stack:
        logs = [server.log.with_name(f"worker-{each + 1}.log") for each in range(number)]
        pids = [stack.enter_context(program(command, server.environment, log)).pid for log in logs]
        until(lambda: Worker.objects.filter(pid__in=pids).count() == number, READY_SECONDS)
        yield pids


def stored_events() -> set[str]:
    """Return the keys of all deliveries that were written down."""
    return {str(key) for key in RegistryEvent.objects.values_list("pk", flat=True)}


def newest_event() -> datetime:
    """Return when the last delivery was stored."""
    return RegistryEvent.objects.values_list("created_at", flat=True).latest("created_at")


def is_all_over() -> bool:
    """Whether every delivery has its verdict and every execution its end."""
    pending = RegistryEvent.objects.filter(verdict=Verdict.PENDING).exists()
    return not pending and not Execution.objects.live().exists()


def runs() -> list[Run]:
    """Return how every delivery ended, in the order of their executions.

    Raises BenchmarkError when one of them started none, or its execution is not over.
    """
    rows = RegistryEvent.objects.select_related("execution").order_by("execution__index")
    return [_run(row) for row in rows.defer("body")]


def _run(event: RegistryEvent) -> Run:
    execution = event.execution
    if execution is None or execution.status not in TERMINAL:
        raise BenchmarkError(f"The push {event} ran not to its end: {event.message}")
    assert execution.started_at is not None  # noqa: S101 - it ended
    assert execution.finished_at is not None  # noqa: S101 - a constraint says so
    return Run(
        event=str(event.pk),
        verdict=event.verdict,
        stored=event.created_at,
        pipeline=execution.pipeline_name,
        index=execution.index,
        status=execution.status,
        started=execution.started_at,
        finished=execution.finished_at,
    )
