"""What a task says when a deploy does not work: the reason, in its message and its failures.

Against the stand-in and, by ``make test-cluster``, against a real API server; what the stand-in
does not play is told by the real one alone.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from pytest_django.fixtures import Settings

from codestream.core.work import wake_all
from codestream.sandbox.kubernetes import KubernetesServer
from endpoints.clients.kubernetes import ClusterAccess, Kubernetes
from endpoints.clients.kubernetes_access import pem
from endpoints.clients.kubernetes_objects import ref_of, value_at
from executions.models import Execution, TaskRun
from executions.services import cancel_execution, start_execution
from executions.telling import words_of
from executions.worker import drain
from pipelines.models import Pipeline
from tests.cluster.kubeconfig import process_of, real_access
from tests.cluster.nodes import Api
from tests.contracts.kubernetes.manifests import config_map, deployment, pull_secret, wait_for
from tests.factories import UserFactory
from tests.integration.admission import NAME, PlayedPolicy, Policy, real_policy
from tests.integration.deploys import PATIENCE_SECONDS, Target, drive, pipeline_of, task_of
from tests.integration.test_kubernetes_actions import deploy, source_of, task

pytestmark = pytest.mark.django_db
LOGIN = '{"auths": {"docker.io": {"username": "robot", "password": "pass"}}}'


def begin(target: Target, *tasks: str) -> Execution:
    pipeline = pipeline_of(target, source_of(*tasks))
    return start_execution(pipeline=pipeline, inputs={}, run_as=None, triggered_by="ann")


def until_said(execution: Execution, words: str) -> TaskRun:
    """Drive the execution until its task says this, still at work."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while words not in (row := task_of(execution)).message:
        assert row.finished_at is None, row.message
        assert time.monotonic() < deadline, f"still {row.message}"
        drain()
        time.sleep(0.05)
        wake_all(TaskRun.objects.filter(wake_at__isnull=False))
    assert row.finished_at is None, row.message
    return row


def reasons(execution: Execution, *words: str) -> None:
    """Each of the words is in the execution's message and in a failure of its task."""
    assert execution.status == "FAILED"
    told = [failure["message"] for failure in task_of(execution).output["failures"]]
    for each in words:
        assert each in execution.message
        assert any(each in message for message in told), told


# Pods that do not start


def test_a_broken_image_is_named_with_the_registrys_answer(target: Target) -> None:
    execution = deploy(target, task("Send", "APPLY", deployment(target.namespace, "demo/missing")))

    reasons(execution, "ImagePullBackOff", "docker.io does not have")
    (failure,) = task_of(execution).output["failures"]
    assert failure["ref"] == "deployment/web"
    assert any("Failed to pull image" in event for event in failure["events"])


def test_the_reason_is_said_in_the_language_of_the_reader(target: Target) -> None:
    missing = deploy(target, task("Send", "APPLY", deployment(target.namespace, "demo/missing")))
    sick = begin(target, task("Send", "APPLY", deployment(target.namespace, "demo/sick:1")))
    waiting = until_said(sick, "runs and is not ready")
    later = until_said(sick, "runs and is not ready")

    def translate(text: str) -> str:
        words = {"does not have": "non ha", "runs and is not ready": "gira e non è pronto"}
        return next((text.replace(*each) for each in words.items() if each[0] in text), text)

    assert "docker.io non ha demo/missing" in task_of(missing).words.said(translate)
    assert "docker.io non ha demo/missing" in missing.words.said(translate)
    assert "gira e non è pronto" in waiting.words.said(translate)
    assert "gira e non è pronto" in later.words.said(translate)
    (failure,) = later.output["failures"]
    assert "gira e non è pronto" in words_of(failure).said(translate)
    assert "asked" not in failure
    cancel_execution(execution=sick, by=UserFactory())
    drive(sick)


def test_a_private_registry_asks_for_the_pull_secret_and_takes_it(target: Target) -> None:
    private = deployment(target.namespace, "demo/private-shop:1.0")
    refused = deploy(target, task("Send", "APPLY", private))

    private["spec"]["template"]["spec"]["imagePullSecrets"] = [{"name": "registry"}]
    secret = pull_secret(target.namespace, LOGIN)
    accepted = deploy(target, task("Send", "APPLY", private, secret))

    reasons(refused, "ImagePullBackOff", "no imagePullSecret")
    assert accepted.status == "COMPLETED", accepted.message


def test_a_crash_loop_is_told_with_the_exit_code_and_the_last_lines(target: Target) -> None:
    execution = deploy(target, task("Send", "APPLY", deployment(target.namespace, "demo/crash:1")))

    reasons(execution, "CrashLoopBackOff", "exited with 1", "cannot reach the database")
    (failure,) = task_of(execution).output["failures"]
    assert "fatal: cannot reach the database at db:5432" in failure["logs"][0]["lines"]


def test_a_slow_start_is_waited_for(target: Target) -> None:
    slow = deployment(target.namespace, minReadySeconds=3)

    execution = deploy(target, task("Send", "APPLY", slow))

    assert execution.status == "COMPLETED", execution.message


def test_a_pod_that_does_not_become_ready_is_told_while_it_is_waited_for(target: Target) -> None:
    execution = begin(target, task("Send", "APPLY", deployment(target.namespace, "demo/sick:1")))

    said = until_said(execution, "runs and is not ready")

    assert said.output["failures"][0]["ref"] == "deployment/web"
    cancel_execution(execution=execution, by=UserFactory())
    drive(execution)


# What the cluster refuses


def test_a_quota_is_named_and_the_rollout_goes_on_when_it_is_raised(
    real_cluster: Kubernetes, target: Target
) -> None:
    quota: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "small", "namespace": target.namespace},
        "spec": {"hard": {"pods": "1"}},
    }
    real_cluster.apply(quota)
    wait_for(lambda: real_cluster.get(ref_of(quota)), lambda live: _is_counted(live.body))
    execution = begin(target, task("Send", "APPLY", deployment(target.namespace)))

    said = until_said(execution, "exceeded quota: small")
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "one", "namespace": target.namespace},
        "spec": {"containers": [{"name": "web", "image": "demo/web:1.0"}]},
    }
    refused = deploy(target, task("Send", "APPLY", pod))
    real_cluster.apply(quota | {"spec": {"hard": {"pods": "10"}}})

    assert "exceeded quota: small" in said.output["failures"][0]["message"]
    reasons(refused, "exceeded quota: small", "have its quota raised")
    assert drive(execution).status == "COMPLETED"


def _is_counted(body: Any) -> bool:
    return value_at(body, "status", "hard", "pods") is not None


def test_a_readers_token_is_told_which_right_it_lacks(target: Target, settings: Settings) -> None:
    if reader := real_access("reader"):
        execution = deploy(
            replace(target, access=reader), task("Send", "APPLY", config_map(target.namespace))
        )
    else:
        with KubernetesServer(token="reader", forbidden=["patch configmaps"]) as server:
            settings.OUTGOING_ALLOW = [urlsplit(server.url).netloc]
            access = ClusterAccess(url=server.url, token="reader")
            own = replace(target, access=access, namespace="default")
            execution = deploy(own, task("Send", "APPLY", config_map("default")))

    reasons(execution, 'cannot patch resource "configmaps"', "the right to do this")


def test_another_field_manager_is_named_with_its_field(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as other:
        other.setattr("endpoints.clients.kubernetes.FIELD_MANAGER", "another-team")
        target.cluster.apply(config_map(target.namespace, colour="blue"))

    execution = deploy(target, task("Send", "APPLY", config_map(target.namespace, colour="red")))

    reasons(execution, '.data.colour is held by "another-team" since 20')


def test_a_namespace_that_is_going_away_is_told(real_cluster: Kubernetes, target: Target) -> None:
    name = f"{target.namespace}-old"
    held = config_map(name)
    held["metadata"]["finalizers"] = ["example.com/hold"]
    namespace: Any = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    real_cluster.create(namespace)
    real_cluster.create(held)
    real_cluster.delete(ref_of(namespace))

    execution = deploy(target, task("Send", "APPLY", config_map(name, "other")))

    real_cluster.patch(ref_of(held), {"metadata": {"finalizers": None}})
    reasons(execution, "because it is being terminated", "Wait until the namespace is gone")


@pytest.fixture
def policy(request: pytest.FixtureRequest, cluster: Kubernetes, namespace: str) -> Iterator[Policy]:
    """An admission webhook for the ConfigMaps of the namespace."""
    real = real_access()
    if real is None:
        yield PlayedPolicy(request.getfixturevalue("stand_in"))
        return
    if urlsplit(real.url).hostname not in ("127.0.0.1", "localhost"):
        pytest.skip("this cluster cannot reach a webhook on loopback")
    with real_policy(cluster, namespace) as policy:
        yield policy


def test_an_admission_webhook_that_denies_is_named_with_its_words(
    target: Target, policy: Policy
) -> None:
    policy.deny("blue is no colour of the house")

    execution = deploy(
        target, task("Send", "APPLY", config_map(target.namespace, target.namespace))
    )

    reasons(
        execution,
        f'admission webhook "{NAME}" denied the request: blue is no colour of the house',
        "A policy of the cluster refuses the object",
    )


def test_an_admission_webhook_that_is_away_is_named_and_waited_for(
    target: Target, policy: Policy
) -> None:
    policy.go_away()
    execution = begin(target, task("Send", "APPLY", config_map(target.namespace, target.namespace)))

    until_said(execution, f'failed calling webhook "{NAME}"')
    policy.come_back()

    assert drive(execution).status == "COMPLETED"


# A cluster that goes away


def test_a_token_that_ends_in_the_middle_of_a_rollout_is_told(
    real_cluster: Kubernetes, target: Target
) -> None:
    token = _token_bound_to_a_secret(real_cluster, target)
    own = replace(target, access=replace(target.access, token=token, cert_data="", key_data=""))
    execution = begin(own, task("Send", "APPLY", deployment(target.namespace, "demo/sick:1")))
    until_said(execution, "deployment/web")

    real_cluster.delete(ref_of(_secret(target.namespace)))

    assert "does not accept the credentials of the endpoint" in drive(execution).message
    assert "Check its token" in execution.message


def _secret(namespace: str) -> dict[str, Any]:
    metadata = {"name": "lives-as-long-as-the-token", "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata}


def _token_bound_to_a_secret(cluster: Kubernetes, target: Target) -> str:
    """A token of a service account that may edit the namespace, valid while the secret is there."""
    metadata: Any = {"name": "deployer", "namespace": target.namespace}
    cluster.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})
    cluster.create(_secret(target.namespace))
    rbac = "rbac.authorization.k8s.io"
    cluster.create(
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "RoleBinding",
            "metadata": metadata,
            "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": "edit"},
            "subjects": [{"kind": "ServiceAccount", **metadata}],
        }
    )
    api = Api(target.access.url, target.access.token, pem(target.access.ca_data) or b"")
    bound = {"apiVersion": "v1", "kind": "Secret", "name": "lives-as-long-as-the-token"}
    made = api.call(
        "POST",
        f"/api/v1/namespaces/{target.namespace}/serviceaccounts/deployer/token",
        {"spec": {"boundObjectRef": bound}},
    )
    token: str = made["status"]["token"]
    return token


def test_an_api_server_that_is_killed_in_the_middle_of_a_rollout_is_waited_for(
    real_cluster: Kubernetes, target: Target
) -> None:
    process = process_of("kube-apiserver")
    if process is None:
        pytest.skip("not a cluster that the tests have started")
    execution = begin(
        target, task("Send", "APPLY", deployment(target.namespace, minReadySeconds=3))
    )
    until_said(execution, "deployment/web")

    os.kill(process, signal.SIGKILL)

    until_said(execution, "cannot be reached")
    assert drive(execution).status == "COMPLETED"


def test_a_cluster_that_is_started_anew_finds_its_rollout_again(
    tmp_path: Path, settings: Settings
) -> None:
    if real_access():
        pytest.skip("the stand-in is stopped here")
    state = tmp_path / "cluster.json"
    with KubernetesServer(token="t", state=state, rollout_seconds=2) as server:
        access = ClusterAccess(url=server.url, token="t")
        settings.OUTGOING_ALLOW = [urlsplit(server.url).netloc]
        with Kubernetes(access) as cluster:
            target = Target(cluster=cluster, access=access, namespace="default")
            execution = begin(target, task("Send", "APPLY", deployment("default")))
            until_said(execution, "deployment/web")

    until_said(execution, "cannot be reached")
    port = urlsplit(server.url).port or 0
    with KubernetesServer(token="t", state=state, port=port, rollout_seconds=0.2):
        assert drive(execution).status == "COMPLETED"


@pytest.mark.timeout(300)
def test_two_hundred_rollouts_at_once_all_come_to_their_end(
    real_cluster: Kubernetes, target: Target
) -> None:
    web = deployment(target.namespace, replicas=1)
    web["metadata"]["name"] = "web-${input.number}"
    source = "input: {number: ''}\n" + source_of(task("Send", "APPLY", web))
    pipelines = [pipeline_of(target, source) for _ in range(4)]
    Pipeline.objects.update(concurrency=50)
    executions = [
        start_execution(
            pipeline=pipelines[number % 4],
            inputs={"number": str(number)},
            run_as=None,
            triggered_by="ann",
        )
        for number in range(200)
    ]
    assert {each.status for each in executions} == {"RUNNING"}

    while Execution.objects.live().exists():
        drain()
        time.sleep(0.1)

    ended = Execution.objects.values_list("status", "message")
    assert set(ended) == {("COMPLETED", "Execution Completed.")}
