"""Rows for tests, each valid by itself."""

from __future__ import annotations

import hashlib

from factory.declarations import (
    Dict,
    LazyAttribute,
    LazyFunction,
    SelfAttribute,
    Sequence,
    SubFactory,
)
from factory.django import DjangoModelFactory, Password
from factory.helpers import post_generation

from codestream.accounts.models import ServiceRole, User
from codestream.accounts.services import issue_token
from codestream.core.clock import now
from codestream.projects.models import Membership, Project, Variable
from endpoints.models import Endpoint, EndpointKind
from executions.models import Execution, StageRun, TaskRun
from executions.states import TERMINAL, Status
from pipelines.models import Pipeline, PipelineRevision
from webhooks.matching import Verdict
from webhooks.models import DockerWebhook, RegistryEvent

PIPELINE_SOURCE = """\
name: {name}
options: [DOCKER_TRIGGER]
input:
  DOCKER_IMAGE: ''
  DOCKER_TAG: ''
  replicas: '1'
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
          timeout: 5
          yaml: |
            apiVersion: v1
            kind: ConfigMap
            metadata: {{name: web, namespace: default}}
            data: {{image: "${{input.DOCKER_IMAGE}}:${{input.DOCKER_TAG}}"}}
"""


class UserFactory(DjangoModelFactory):
    class Meta:
        model = User
        skip_postgeneration_save = True

    username = Sequence(lambda n: f"user{n}")
    email = LazyAttribute(lambda user: f"{user.username}@example.com")
    service_role = ServiceRole.USER
    password = Password("correct horse battery")


class ProjectFactory(DjangoModelFactory):
    class Meta:
        model = Project

    name = Sequence(lambda n: f"project{n}")


class MembershipFactory(DjangoModelFactory):
    class Meta:
        model = Membership

    project = SubFactory(ProjectFactory)
    user = SubFactory(UserFactory)
    role = Membership.Role.MEMBER


class VariableFactory(DjangoModelFactory):
    class Meta:
        model = Variable

    project = SubFactory(ProjectFactory)
    name = Sequence(lambda n: f"variable{n}")
    value = "a value"


class DockerRegistryFactory(DjangoModelFactory):
    class Meta:
        model = Endpoint

    project = SubFactory(ProjectFactory)
    name = Sequence(lambda n: f"hub{n}")
    kind = EndpointKind.DOCKER_REGISTRY
    properties = Dict({"serverType": "DockerHub", "repoURL": "demo/web"})
    credentials = Dict({"username": "robot", "password": "hub-password"})


class KubernetesFactory(DjangoModelFactory):
    class Meta:
        model = Endpoint

    project = SubFactory(ProjectFactory)
    name = Sequence(lambda n: f"cluster{n}")
    kind = EndpointKind.KUBERNETES
    properties = Dict({"kubernetesURL": "https://10.0.0.1:6443", "authType": "token"})
    credentials = Dict({"token": "cluster-token"})


class PipelineFactory(DjangoModelFactory):
    class Meta:
        model = Pipeline
        skip_postgeneration_save = True

    project = SubFactory(ProjectFactory)
    name = Sequence(lambda n: f"pipeline{n}")
    injects_docker = True

    @post_generation  # type: ignore[untyped-decorator]
    def source(pipeline: Pipeline, create: bool, extracted: str | None) -> None:  # noqa: N805
        source = extracted or PIPELINE_SOURCE.format(name=pipeline.name)
        pipeline.current_revision = PipelineRevision.objects.create(
            pipeline=pipeline,
            number=1,
            source=source,
            sha256=hashlib.sha256(source.encode()).hexdigest(),
        )
        pipeline.save()


def _token_of_a_member(webhook: DockerWebhook) -> str:
    owner: User = MembershipFactory.create(project=webhook.project).user
    return issue_token(owner=owner, name="docker-trigger")[1]


class DockerWebhookFactory(DjangoModelFactory):
    class Meta:
        model = DockerWebhook

    project = SubFactory(ProjectFactory)
    name = Sequence(lambda n: f"webhook{n}")
    endpoint = SubFactory(DockerRegistryFactory, project=SelfAttribute("..project"))
    pipeline = SubFactory(PipelineFactory, project=SelfAttribute("..project"))
    mirror_mode = DockerWebhook.MirrorMode.MANUAL
    pin_digest = False
    api_token = LazyAttribute(_token_of_a_member)


class ExecutionFactory(DjangoModelFactory):
    """An execution with one stage and one task, all in the same status."""

    class Meta:
        model = Execution
        skip_postgeneration_save = True

    pipeline = SubFactory(PipelineFactory)
    project = SelfAttribute("pipeline.project")
    pipeline_name = SelfAttribute("pipeline.name")
    revision = SelfAttribute("pipeline.current_revision")
    index = Sequence(lambda n: n + 1)
    status = Status.RUNNING
    inputs = Dict({"DOCKER_IMAGE": "demo/web", "DOCKER_TAG": "1.2.3", "replicas": "1"})
    triggered_by = "ada"
    started_at = LazyFunction(now)
    finished_at = LazyAttribute(lambda row: now() if row.status in TERMINAL else None)

    @post_generation  # type: ignore[untyped-decorator]
    def output(execution: Execution, create: bool, extracted: object) -> None:  # noqa: N805
        times = {"started_at": execution.started_at, "finished_at": execution.finished_at}
        status = execution.status
        stage = StageRun.objects.create(
            execution=execution, position=0, name="Deploy", status=status, **times
        )
        TaskRun.objects.create(
            stage_run=stage,
            position=0,
            group=0,
            name="Apply",
            kind="K8S",
            status=status,
            output=extracted or {},
            **times,
        )


class RegistryEventFactory(DjangoModelFactory):
    class Meta:
        model = RegistryEvent

    webhook = SubFactory(DockerWebhookFactory)
    webhook_name = SelfAttribute("webhook.name")
    project = SelfAttribute("webhook.project")
    project_name = SelfAttribute("project.name")
    registry = "dockerhub"
    body = b'{"push_data": {"tag": "1.2.3"}}'
    headers = Dict({"Content-Type": "application/json"})
    verdict = Verdict.IGNORED
    message = "Tag does not match"
    owner = "ada"
    namespace = "demo"
    repository = "web"
    image = "demo/web"
    tag = "1.2.3"
