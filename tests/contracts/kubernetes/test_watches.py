"""Marks and watches, as any API server answers them."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPResponse
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import urllib3
from pytest_django.fixtures import Settings

from codestream.sandbox.kubernetes import KubernetesServer
from endpoints.clients.base import ClientError, Forbidden, Protocol
from endpoints.clients.kubernetes import ClusterAccess, Kubernetes
from endpoints.clients.kubernetes_marks import BOOKMARK, Mark, digest_of, sight
from endpoints.clients.kubernetes_objects import text_at
from endpoints.clients.kubernetes_rollouts import look
from endpoints.clients.kubernetes_watch import Watch
from endpoints.clients.rollout import RolloutState
from tests.conftest import TOKEN
from tests.contracts.kubernetes.manifests import (
    config_map,
    deployment,
    wait_for,
    widget_with_definition,
)


def changes(watch: Watch) -> Iterator[tuple[str, Mark]]:
    return (event for event in watch if event[0] != BOOKMARK)


def test_a_watch_goes_on_from_a_list(cluster: Kubernetes, namespace: str) -> None:
    cluster.create(config_map(namespace, "older"))
    version, _ = cluster.marks("v1", "ConfigMap", namespace=namespace)
    watch = cluster.watch("v1", "ConfigMap", namespace=namespace, since=version, seconds=20)
    events = changes(watch)

    created = cluster.create(config_map(namespace, colour="blue"))
    applied = cluster.apply(config_map(namespace, colour="red")).object
    cluster.delete(created.ref)
    told = [next(events) for _ in range(3)]
    watch.close()

    assert [kind for kind, _ in told] == ["ADDED", "MODIFIED", "DELETED"]
    assert {(mark.namespace, mark.name) for _, mark in told} == {(namespace, "settings")}
    versions = [text_at(each.body, "metadata", "resourceVersion") for each in (created, applied)]
    assert [mark.version for _, mark in told[:2]] == versions


def test_a_watch_without_a_version_begins_with_what_is_there(
    cluster: Kubernetes, namespace: str
) -> None:
    cluster.create(config_map(namespace))
    watch = cluster.watch("v1", "ConfigMap", namespace=namespace, seconds=20)

    told = next(event for event in changes(watch) if event[1].name == "settings")
    watch.close()

    assert told[0] == "ADDED"


def test_a_list_of_marks_has_the_version_of_every_object(
    cluster: Kubernetes, namespace: str
) -> None:
    made = cluster.create(config_map(namespace))

    _, marks = cluster.marks("v1", "ConfigMap", namespace=namespace)

    found = next(mark for mark in marks if mark.name == "settings")
    assert found.version == text_at(made.body, "metadata", "resourceVersion")
    assert found.namespace == namespace


def test_the_pods_of_a_deployment_are_known_by_their_metadata(
    cluster: Kubernetes, namespace: str
) -> None:
    ref = cluster.apply(deployment(namespace)).object.ref

    def pods() -> list[Mark]:
        return list(cluster.marks("v1", "Pod", namespace=namespace)[1])

    found = wait_for(pods, lambda marks: len(marks) == 2)

    assert {mark.workload for mark in found} == {("Deployment", ref.name)}


def test_a_look_and_the_marks_see_the_same(cluster: Kubernetes, namespace: str) -> None:
    body = deployment(namespace, "demo/missing:1.0")
    ref = cluster.apply(body).object.ref
    wait_for(lambda: look(cluster, ref), lambda rollout: rollout.state is RolloutState.FAILED)

    def sights() -> tuple[str, str]:
        seen = look(cluster, ref).seen
        _, workloads = cluster.marks("apps/v1", "Deployment", namespace=namespace)
        _, pods = cluster.marks("v1", "Pod", namespace=namespace)
        own = [pod for pod in pods if pod.workload == ("Deployment", ref.name)]
        return seen, sight(workloads[0].version, digest_of(own))

    seen, marked = wait_for(sights, lambda pair: pair[0] == pair[1])

    assert seen == marked


def expect_too_old(cluster: Kubernetes, api_version: str, kind: str, since: str) -> None:
    with pytest.raises(ClientError, match="too old resource version") as refused:
        list(cluster.watch(api_version, kind, since=since, seconds=5))
    assert refused.value.retryable


def test_a_watch_from_a_forgotten_version_ends_with_the_reason(
    cluster: Kubernetes, stand_in: KubernetesServer
) -> None:
    expect_too_old(cluster, "v1", "ConfigMap", since="1")


def test_a_real_server_has_forgotten_what_was_before_a_definition(
    real_cluster: Kubernetes, namespace: str
) -> None:
    definition, widget = widget_with_definition(namespace)
    ref = real_cluster.create(definition).ref
    wait_for(lambda: look(real_cluster, ref), lambda seen: seen.state is RolloutState.READY)
    kind = (widget["apiVersion"], widget["kind"])
    wait_for(lambda: real_cluster.marks(*kind)[0], bool)

    expect_too_old(real_cluster, *kind, since="1")
    real_cluster.delete(ref)


def test_a_watch_ends_when_its_time_is_over_and_tells_how_far_it_is(
    cluster: Kubernetes, namespace: str
) -> None:
    version, _ = cluster.marks("v1", "Secret", namespace=namespace)

    told = list(cluster.watch("v1", "Secret", namespace=namespace, since=version, seconds=4))

    assert BOOKMARK in {kind for kind, _ in told}


def test_another_thread_can_end_a_watch_that_hears_nothing(
    cluster: Kubernetes, namespace: str
) -> None:
    version, _ = cluster.marks("v1", "ConfigMap", namespace=namespace)
    watch = cluster.watch("v1", "ConfigMap", namespace=namespace, since=version, seconds=60)
    ended = threading.Event()

    def listen() -> None:
        try:
            list(watch)
        except ClientError:
            pass
        finally:
            ended.set()

    threading.Thread(target=listen, daemon=True).start()
    watch.close()

    assert ended.wait(20)


def test_an_account_that_may_not_watch_is_refused(settings: Settings) -> None:
    with KubernetesServer(token=TOKEN, forbidden={"watch pods"}) as server:
        settings.OUTGOING_ALLOW = [urlsplit(server.url).netloc]
        with (
            Kubernetes(ClusterAccess(url=server.url, token=TOKEN)) as client,
            pytest.raises(Forbidden, match="cannot watch resource"),
        ):
            client.watch("v1", "Pod", namespace="default")


def test_a_watch_from_before_a_restart_is_forgotten(settings: Settings, tmp_path: Path) -> None:
    version = ""
    for _ in range(2):
        with KubernetesServer(token=TOKEN, state=tmp_path / "cluster.json") as server:
            settings.OUTGOING_ALLOW = [urlsplit(server.url).netloc]
            with Kubernetes(ClusterAccess(url=server.url, token=TOKEN)) as client:
                if not version:
                    version, _ = client.marks("v1", "ConfigMap")
                    client.create(config_map("default"))
                    continue
                with pytest.raises(ClientError, match="too old resource version"):
                    next(iter(client.watch("v1", "ConfigMap", since=version)))


class Scripted:
    """An answer that sends what the test says."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = iter(pieces)

    def read1(self, _size: int) -> bytes:
        return next(self._pieces, b"")

    def close(self) -> None:
        pass


def watch_of(*pieces: bytes) -> Watch:
    return Watch(response=Scripted(*pieces), unreachable=lambda error: Protocol(str(error)))


EVENT = {"type": "ADDED", "object": {"metadata": {"name": "web", "resourceVersion": "7"}}}
LINE = json.dumps(EVENT).encode() + b"\n"
TOLD = ("ADDED", Mark(namespace="", name="web", version="7"))


def test_a_line_may_arrive_in_pieces() -> None:
    assert list(watch_of(LINE[:9], LINE[9:] + LINE[:30], LINE[30:])) == [TOLD] * 2


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"%x\r\n%s\r\n"),
        (b"HTTP/1.0 200 OK\r\n\r\n", b""),
    ],
    ids=["in chunks", "as an old proxy passes it on"],
)
def test_a_line_is_told_as_soon_as_it_is_there(head: bytes, piece: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(10)
        theirs.sendall(head + (piece % (len(LINE), LINE) if piece else LINE))
        with closing(HTTPResponse(ours)) as answer:
            answer.begin()
            response = urllib3.HTTPResponse(answer, preload_content=False)
            watch = Watch(response=response, unreachable=lambda error: Protocol(str(error)))

            assert next(iter(watch)) == TOLD


@pytest.mark.parametrize("line", [b"<html>\n", b"[]\n", b'{"type": "ADDED"}\n'])
def test_a_line_that_is_no_event_ends_the_watch(line: bytes) -> None:
    with pytest.raises(ClientError):
        list(watch_of(line))
