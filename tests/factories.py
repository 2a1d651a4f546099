"""Rows for tests, each valid by itself."""

from __future__ import annotations

import hashlib

import factory
from factory.django import DjangoModelFactory

from codestream.accounts.models import ServiceRole, User
from codestream.accounts.services import issue_token
from codestream.projects.models import Membership, Project, Variable
from endpoints.models import Endpoint, EndpointKind
from pipelines.models import Pipeline, PipelineRevision
from webhooks.models import DockerWebhook

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

    username = factory.Sequence(lambda n: f"user{n}")
    email = factory.LazyAttribute(lambda user: f"{user.username}@example.com")
    service_role = ServiceRole.USER
    password = factory.django.Password("correct horse battery")


class ProjectFactory(DjangoModelFactory):
    class Meta:
        model = Project

    name = factory.Sequence(lambda n: f"project{n}")


class MembershipFactory(DjangoModelFactory):
    class Meta:
        model = Membership

    project = factory.SubFactory(ProjectFactory)
    user = factory.SubFactory(UserFactory)
    role = Membership.Role.MEMBER


class VariableFactory(DjangoModelFactory):
    class Meta:
        model = Variable

    project = factory.SubFactory(ProjectFactory)
    name = factory.Sequence(lambda n: f"variable{n}")
    value = "a value"


class DockerRegistryFactory(DjangoModelFactory):
    class Meta:
        model = Endpoint

    project = factory.SubFactory(ProjectFactory)
    name = factory.Sequence(lambda n: f"hub{n}")
    kind = EndpointKind.DOCKER_REGISTRY
    properties = factory.Dict({"serverType": "DockerHub", "repoURL": "demo/web"})
    credentials = factory.Dict({"username": "robot", "password": "hub-password"})


class KubernetesFactory(DjangoModelFactory):
    class Meta:
        model = Endpoint

    project = factory.SubFactory(ProjectFactory)
    name = factory.Sequence(lambda n: f"cluster{n}")
    kind = EndpointKind.KUBERNETES
    properties = factory.Dict({"kubernetesURL": "https://10.0.0.1:6443", "authType": "token"})
    credentials = factory.Dict({"token": "cluster-token"})


class PipelineFactory(DjangoModelFactory):
    class Meta:
        model = Pipeline
        skip_postgeneration_save = True

    project = factory.SubFactory(ProjectFactory)
    name = factory.Sequence(lambda n: f"pipeline{n}")
    injects_docker = True

    @factory.post_generation
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
    owner = MembershipFactory(project=webhook.project).user
    return issue_token(owner=owner, name="docker-trigger")[1]


class DockerWebhookFactory(DjangoModelFactory):
    class Meta:
        model = DockerWebhook

    project = factory.SubFactory(ProjectFactory)
    name = factory.Sequence(lambda n: f"webhook{n}")
    endpoint = factory.SubFactory(DockerRegistryFactory, project=factory.SelfAttribute("..project"))
    pipeline = factory.SubFactory(PipelineFactory, project=factory.SelfAttribute("..project"))
    mirror_mode = DockerWebhook.MirrorMode.MANUAL
    api_token = factory.LazyAttribute(_token_of_a_member)
