"""Kubernetes tasks, from the definition to objects in a cluster."""

from __future__ import annotations

import json

import pytest

from codestream.core.json_types import Json
from codestream.core.work import wake_all
from endpoints.clients.base import NotFound
from endpoints.clients.kubernetes_objects import ObjectRef, value_at
from executions.models import TaskRun
from executions.services import start_execution
from executions.worker import drain
from pipelines.models import Pipeline
from tests.factories import VariableFactory
from tests.integration.deploys import Target, pipeline_of, run, task_of

pytestmark = pytest.mark.django_db
PASSWORD = "pull-secret-password"
SOURCE = """\
name: web-cd
input: {{DOCKER_IMAGE: demo/web, DOCKER_TAG: '1.0', replicas: '2'}}
stageOrder: [Deploy]
stages:
  Deploy:
    taskOrder: [Send]
    tasks:
      Send:
        type: K8S
        endpoints: {{kubernetesServer: cluster}}
        input:
          action: {action}
          continueOnConflict: {lenient}
          yaml: |
            apiVersion: v1
            kind: Secret
            metadata: {{name: registry, namespace: {namespace}}}
            stringData: {{password: "${{var.password}}"}}
            ---
            apiVersion: apps/v1
            kind: Deployment
            metadata: {{name: web, namespace: {namespace}}}
            spec:
              replicas: ${{input.replicas}}
              selector: {{matchLabels: {{app: web}}}}
              template:
                metadata: {{labels: {{app: web}}}}
                spec:
                  containers:
                    - name: web
                      image: "${{input.DOCKER_IMAGE}}:${{input.DOCKER_TAG}}"
"""


def pipeline_for(target: Target, *, action: str, lenient: bool = False) -> Pipeline:
    source = SOURCE.format(action=action, lenient=str(lenient).lower(), namespace=target.namespace)
    pipeline = pipeline_of(target, source)
    VariableFactory(project=pipeline.project, name="password", type="SECRET", value=PASSWORD)
    return pipeline


def image(target: Target) -> Json:
    ref = ObjectRef(
        api_version="apps/v1", kind="Deployment", name="web", namespace=target.namespace
    )
    containers = value_at(target.cluster.get(ref).body, "spec", "template", "spec", "containers")
    assert isinstance(containers, list)
    return value_at(containers[0], "image")


def test_apply_deploys_and_a_second_push_replaces_the_image(target: Target) -> None:
    pipeline = pipeline_for(target, action="APPLY")

    ends = [run(pipeline, DOCKER_TAG=tag).status for tag in ("1.0", "1.1")]

    assert ends == ["COMPLETED", "COMPLETED"]
    assert image(target) == "demo/web:1.1"


def test_every_object_is_reported_with_what_became_of_it(target: Target) -> None:
    execution = run(pipeline_for(target, action="Apply"))

    reports = task_of(execution).output["objects"]
    assert [(item["ref"], item["change"], item["state"]) for item in reports] == [
        ("secret/registry", "CREATED", "READY"),
        ("deployment/web", "CREATED", "READY"),
    ]


def test_no_secret_is_kept_with_the_task_or_its_story(target: Target) -> None:
    execution = run(pipeline_for(target, action="APPLY"))

    task = task_of(execution)
    kept = json.dumps([task.input, task.output, task.cursor, task.message])
    told = " ".join(execution.events.values_list("message", flat=True))
    assert "********" in kept
    assert PASSWORD not in kept + told
    assert "cHVsbC1zZWNyZXQtcGFzc3dvcmQ" not in kept


def test_create_makes_the_objects_once(target: Target) -> None:
    pipeline = pipeline_for(target, action="CREATE")

    first, second = run(pipeline), run(pipeline)

    assert (first.status, second.status) == ("COMPLETED", "FAILED")
    assert "exists already" in second.message
    assert "Continue on conflict" in second.message


def test_create_can_leave_alone_what_exists(target: Target) -> None:
    pipeline = pipeline_for(target, action="CREATE", lenient=True)

    ends = [run(pipeline, DOCKER_TAG=tag).status for tag in ("1.0", "1.1")]

    assert ends == ["COMPLETED", "COMPLETED"]
    assert image(target) == "demo/web:1.0"


def test_a_create_that_was_sent_before_the_worker_died_is_recognised(target: Target) -> None:
    pipeline = pipeline_for(target, action="CREATE")
    execution = start_execution(pipeline=pipeline, inputs={}, run_as=None, triggered_by="ann")
    drain()
    TaskRun.objects.update(cursor={}, status="RUNNING")
    wake_all(TaskRun.objects.all())

    drain()

    assert task_of(execution).status in {"RUNNING", "COMPLETED"}
    assert task_of(execution).cursor


def test_an_image_that_cannot_be_pulled_fails_with_the_reason(target: Target) -> None:
    execution = run(pipeline_for(target, action="APPLY"), DOCKER_IMAGE="demo/missing")

    assert execution.status == "FAILED"
    assert "ImagePullBackOff" in execution.message


def test_a_wrong_token_fails_at_once_and_says_so(target: Target) -> None:
    pipeline = pipeline_for(target, action="APPLY")
    endpoint = pipeline.project.endpoints.get(name="cluster")
    endpoint.credentials = {"token": "another"}
    endpoint.save()

    execution = run(pipeline)

    assert execution.status == "FAILED"
    assert "does not accept the credentials of the endpoint" in execution.message


def test_a_tag_that_looks_like_yaml_keeps_the_shape_of_the_manifest(target: Target) -> None:
    tag = "x\n  hostNetwork: true"

    execution = run(pipeline_for(target, action="APPLY"), DOCKER_TAG=tag)

    ref = ObjectRef(
        api_version="apps/v1", kind="Deployment", name="web", namespace=target.namespace
    )
    try:
        spec = value_at(target.cluster.get(ref).body, "spec", "template", "spec")
    except NotFound:
        spec = {}
    assert isinstance(spec, dict)
    assert "hostNetwork" not in spec
    assert execution.is_over


def test_a_missing_endpoint_is_named(target: Target) -> None:
    pipeline = pipeline_for(target, action="APPLY")
    pipeline.project.endpoints.all().delete()

    execution = run(pipeline)

    assert execution.status == "FAILED"
    assert "“cluster”" in execution.message
