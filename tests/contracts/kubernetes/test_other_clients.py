"""What the stand-in answers to clients other than ours, such as kubectl: plain HTTP calls."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest

from codestream.sandbox.kubernetes import KubernetesServer
from endpoints.clients.kubernetes import Kubernetes
from tests.conftest import TOKEN
from tests.contracts.kubernetes.manifests import config_map, deployment, image_of, wait_for

STRATEGIC = "application/strategic-merge-patch+json"
MERGE = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"


def call(
    server: KubernetesServer,
    method: str,
    path: str,
    body: Any = None,
    *,
    content_type: str = "application/json",
    token: str = TOKEN,
) -> tuple[int, Any]:
    headers = {"Content-Type": content_type, "User-Agent": "kubectl/v1.32"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    payload = body if isinstance(body, str) else json.dumps(body)
    connection = HTTPConnection(urlsplit(server.url).netloc, timeout=10)
    try:
        connection.request(method, path, None if body is None else payload, headers)
        answer = connection.getresponse()
        raw = answer.read()
        return answer.status, json.loads(raw) if raw[:1] == b"{" else raw.decode()
    finally:
        connection.close()


def web_path(namespace: str) -> str:
    return f"/apis/apps/v1/namespaces/{namespace}/deployments/web"


def test_a_strategic_patch_changes_one_container_and_keeps_the_other(
    stand_in: KubernetesServer, cluster: Kubernetes, namespace: str
) -> None:
    manifest = deployment(namespace)
    manifest["spec"]["template"]["spec"]["containers"].append({"name": "side", "image": "a:1"})
    cluster.apply(manifest)
    containers = [{"name": "web", "image": "demo/web:2.0"}]
    patch = {"spec": {"template": {"spec": {"containers": containers}}}}

    status, body = call(stand_in, "PATCH", web_path(namespace), patch, content_type=STRATEGIC)

    assert (status, image_of(body)) == (200, "demo/web:2.0")
    assert len(body["spec"]["template"]["spec"]["containers"]) == 2
    managers = {entry["manager"] for entry in body["metadata"]["managedFields"]}
    assert managers == {"codestream", "kubectl"}


def test_a_merge_patch_removes_with_null(
    stand_in: KubernetesServer, cluster: Kubernetes, namespace: str
) -> None:
    cluster.apply(config_map(namespace, colour="blue", size="9"))
    path = f"/api/v1/namespaces/{namespace}/configmaps/settings"

    _, body = call(stand_in, "PATCH", path, {"data": {"size": None}}, content_type=MERGE)

    assert body["data"] == {"colour": "blue"}


def test_yaml_is_applied_as_json_is(stand_in: KubernetesServer, namespace: str) -> None:
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {colour: blue}\n"
    path = f"/api/v1/namespaces/{namespace}/configmaps/settings?fieldManager=kubectl"

    status, body = call(stand_in, "PATCH", path, text, content_type=APPLY)

    assert (status, body["data"]) == (201, {"colour": "blue"})


def test_an_apply_without_a_field_manager_is_400(
    stand_in: KubernetesServer, namespace: str
) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps/settings"

    status, body = call(stand_in, "PATCH", path, config_map(namespace), content_type=APPLY)

    assert (status, body["reason"]) == (400, "BadRequest")


def test_a_dry_run_leaves_nothing_behind(
    stand_in: KubernetesServer, cluster: Kubernetes, namespace: str
) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"

    status, _ = call(stand_in, "POST", f"{path}?dryRun=All", config_map(namespace))

    assert status == 201
    assert not cluster.list("v1", "ConfigMap", namespace=namespace)


@pytest.mark.parametrize("token", ["", "a-wrong-token"])
def test_nothing_is_shown_without_the_token(stand_in: KubernetesServer, token: str) -> None:
    status, body = call(stand_in, "GET", "/api/v1/namespaces", token=token)

    assert (status, body["kind"], body["reason"]) == (401, "Status", "Unauthorized")


def test_health_is_told_to_anybody(stand_in: KubernetesServer) -> None:
    assert call(stand_in, "GET", "/readyz", token="") == (200, "ok")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/apis/example.com/v1", 404),
        ("GET", "/api/v1/widgets", 404),
        ("PUT", "/api/v1/namespaces/default", 405),
        ("POST", "/api/v1/configmaps", 405),
        ("PATCH", "/api/v1/namespaces/default", 415),
        ("POST", "/api/v1/namespaces", 400),
    ],
)
def test_what_is_not_served_is_refused_with_a_status(
    stand_in: KubernetesServer, method: str, path: str, status: int
) -> None:
    answered, body = call(stand_in, method, path, [] if method != "GET" else None)

    assert (answered, body["kind"]) == (status, "Status")


@pytest.mark.process
def test_the_stand_in_runs_as_a_program_and_ends_on_a_signal(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "codestream.sandbox.kubernetes", "--port", str(port)]
    state = tmp_path / "cluster.json"
    with subprocess.Popen(
        [*command, "--state", str(state)],
        env=os.environ | {"SANDBOX_KUBERNETES_TOKEN": TOKEN},
        stderr=subprocess.PIPE,
        text=True,
    ) as program:
        wait_for(lambda: is_listening(port), bool)
        with urlopen(f"http://127.0.0.1:{port}/readyz") as answer:
            assert answer.status == 200
        program.terminate()
        _, log = program.communicate(timeout=10)

    assert program.returncode == 0
    assert log == "kubernetes GET /readyz 200\n"
    assert state.exists()


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
