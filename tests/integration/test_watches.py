"""Watches wake tasks by what they hear, and tasks look by themselves where there is no watch.

The rounds of a worker's watches are run here by hand; the watches themselves are threads, as in a
worker.
"""

from __future__ import annotations

import json
import logging
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest
from django.core.management import call_command
from django.db import OperationalError, connection, connections
from django.db.models import QuerySet
from pytest_django.fixtures import Settings

from codestream import RELEASE
from codestream.core.clock import now
from codestream.core.work import wake_all
from codestream.sandbox.kubernetes import KubernetesServer
from endpoints.clients.kubernetes import ClusterAccess, Kubernetes
from endpoints.clients.kubernetes_objects import ObjectRef
from endpoints.models import Endpoint
from executions import watch_streams
from executions.models import RolloutWatch, TaskRun, Worker
from executions.services import start_execution
from executions.watch_board import Board
from executions.watches import Watches
from executions.worker import drain
from executions.workers import living_workers
from tests.conftest import TOKEN
from tests.integration.deploys import Target, pipeline_of
from tests.integration.plans import listening
from tests.running import ROOT

pytestmark = pytest.mark.usefixtures("parallel_database")
PATIENCE_SECONDS = 40.0
NEVER = 10_000.0
SOURCE = """\
name: web-cd
stageOrder: [Deploy]
stages:
  Deploy:
    taskOrder: [Send]
    tasks:
      Send:
        type: K8S
        endpoints: {kubernetesServer: cluster}
        input:
          action: Apply
          timeout: 600
          yaml: |
            apiVersion: apps/v1
            kind: Deployment
            metadata: {name: web, namespace: default}
            spec:
              replicas: 2
              selector: {matchLabels: {app: web}}
              template:
                metadata: {labels: {app: web}}
                spec: {containers: [{name: web, image: "demo/web:1.0"}]}
"""


@contextmanager
def slow_cluster(
    settings: Settings, *, forbidden: frozenset[str] = frozenset(), state: Path | None = None
) -> Iterator[tuple[KubernetesServer, Target]]:
    """A cluster in which no rollout ever ends by itself."""
    with KubernetesServer(
        token=TOKEN, rollout_seconds=NEVER, forbidden=forbidden, state=state
    ) as server:
        settings.OUTGOING_ALLOW = [urlsplit(server.url).netloc]
        access = ClusterAccess(url=server.url, token=TOKEN)
        with Kubernetes(access) as client:
            yield server, Target(cluster=client, access=access, namespace="default")


@pytest.fixture
def slow(settings: Settings) -> Iterator[tuple[KubernetesServer, Target]]:
    with slow_cluster(settings) as made:
        yield made


@pytest.fixture
def target(slow: tuple[KubernetesServer, Target]) -> Target:
    return slow[1]


@contextmanager
def a_workers_watches() -> Iterator[Watches]:
    worker = Worker.objects.create(
        id=uuid.uuid4(), host="a", pid=1, heartbeat_at=now(), release=RELEASE
    )
    made = Watches(worker.pk, alive=living_workers)
    try:
        yield made
    finally:
        made.close()
        Worker.objects.filter(pk=worker.pk).delete()


@pytest.fixture
def watches() -> Iterator[Watches]:
    with a_workers_watches() as made:
        yield made


def until(happened: Callable[[], object], *watches: Watches) -> None:
    """Run the rounds of the watches until it happened."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        Worker.objects.update(heartbeat_at=now())
        for each in watches:
            each.look()
        time.sleep(0.02)


def deploy(target: Target, source: str = SOURCE) -> TaskRun:
    """A task that has sent its objects and waits for what comes of them."""
    pipeline = pipeline_of(target, source)
    start_execution(pipeline=pipeline, inputs={}, run_as=None, triggered_by="ann")
    drain()
    task = TaskRun.objects.get(stage_run__execution__pipeline=pipeline)
    assert RolloutWatch.objects.filter(pk=task.pk).exists(), task.message
    return task


def look_again(task: TaskRun) -> None:
    wake_all(TaskRun.objects.filter(pk=task.pk))
    drain()


def settle(task: TaskRun, watches: Watches) -> None:
    """Let the task come to rest: covered, and with all seen that there is to see."""
    until(lambda: RolloutWatch.objects.get(pk=task.pk).is_covered, watches)

    def rests() -> bool:
        drain()
        return sleep_of(task) > timedelta(minutes=5)

    look_again(task)
    until(rests, watches)
    deadline = time.monotonic() + 0.7
    until(lambda: time.monotonic() > deadline and rests(), watches)


def requests(server: KubernetesServer) -> dict[str, int]:
    with urlopen(f"{server.url}/_control/requests") as answer:
        counted: dict[str, int] = json.load(answer)
        return counted


def sleep_of(task: TaskRun) -> timedelta:
    task.refresh_from_db()
    assert task.wake_at is not None
    return task.wake_at - now()


def is_woken(task: TaskRun) -> bool:
    return sleep_of(task) <= timedelta(0)


def has_completed(task: TaskRun) -> bool:
    drain()
    task.refresh_from_db()
    return task.status == "COMPLETED"


def pods_of(target: Target) -> list[ObjectRef]:
    return [pod.ref for pod in target.cluster.list("v1", "Pod", namespace="default")]


def test_a_task_looks_by_itself_until_a_watch_covers_it(target: Target, watches: Watches) -> None:
    task = deploy(target)
    assert sleep_of(task) < timedelta(seconds=5)

    until(lambda: RolloutWatch.objects.get().is_covered, watches)
    look_again(task)

    assert sleep_of(task) > timedelta(minutes=5)


def test_a_task_that_sleeps_is_looked_at_when_its_time_is_over(
    target: Target, watches: Watches
) -> None:
    task = deploy(target)
    settle(task, watches)
    TaskRun.objects.update(deadline_at=now() + timedelta(seconds=90))

    look_again(task)

    assert timedelta(seconds=80) < sleep_of(task) <= timedelta(seconds=90)


def test_a_change_of_a_pod_wakes_the_task(target: Target, watches: Watches) -> None:
    task = deploy(target)
    settle(task, watches)

    target.cluster.delete(pods_of(target)[0])

    until(lambda: is_woken(task), watches)


def test_a_change_of_the_object_wakes_the_task(target: Target, watches: Watches) -> None:
    task = deploy(target)
    settle(task, watches)
    web = ObjectRef(api_version="apps/v1", kind="Deployment", name="web", namespace="default")

    target.cluster.patch(web, {"metadata": {"annotations": {"note": "changed"}}})

    until(lambda: is_woken(task), watches)


def test_waking_locks_the_tasks_and_not_their_executions(target: Target, watches: Watches) -> None:
    task = deploy(target)
    settle(task, watches)

    target.cluster.delete(pods_of(target)[0])
    with listening() as heard:
        until(lambda: is_woken(task), watches)

    locking = [
        each.sql for each in heard if each.sql.startswith('SELECT "executions_taskrun"."id"')
    ]
    assert locking
    assert not [sql for sql in locking if "JOIN" in sql]


def test_the_end_of_a_rollout_ends_what_is_kept_for_the_watch(
    target: Target, watches: Watches
) -> None:
    task = deploy(target)
    settle(task, watches)
    web = ObjectRef(api_version="apps/v1", kind="Deployment", name="web", namespace="default")

    target.cluster.patch(web, {"spec": {"replicas": 0}})

    until(lambda: has_completed(task), watches)
    assert not RolloutWatch.objects.exists()


def test_a_burst_of_changes_wakes_a_task_a_few_times(target: Target, watches: Watches) -> None:
    task = deploy(target)
    settle(task, watches)
    before = task.wake_seq
    web = ObjectRef(api_version="apps/v1", kind="Deployment", name="web", namespace="default")

    for number in range(40):
        target.cluster.patch(web, {"metadata": {"annotations": {"note": str(number)}}})
        watches.look()
    until(lambda: is_woken(task), watches)
    drain()
    settle(task, watches)

    task.refresh_from_db()
    assert before < task.wake_seq < before + 20
    version = target.cluster.get(web).body["metadata"]
    assert isinstance(version, dict)
    seen = RolloutWatch.objects.get().sights[0][4]
    assert seen.partition("/")[0] == version["resourceVersion"]


def test_whoever_watches_next_finds_what_happened_meanwhile(target: Target) -> None:
    task = deploy(target)
    with a_workers_watches() as first:
        settle(task, first)

    target.cluster.delete(pods_of(target)[0])
    with a_workers_watches() as second:
        until(lambda: is_woken(task), second)


def test_whoever_watches_next_lets_those_sleep_for_whom_nothing_happened(target: Target) -> None:
    task = deploy(target)
    with a_workers_watches() as first:
        settle(task, first)
    before = task.wake_seq

    with a_workers_watches() as second:
        until(lambda: second._states and not second._fresh and _is_live(second), second)

    task.refresh_from_db()
    assert task.wake_seq == before


def _is_live(watches: Watches) -> bool:
    return all(state.name == "LIVE" for state in watches._states.values())


def test_one_of_two_workers_watches_and_the_other_takes_over(target: Target) -> None:
    task = deploy(target)
    with a_workers_watches() as one, a_workers_watches() as another:
        until(lambda: RolloutWatch.objects.get().is_covered, one, another)
        watching, idle = sorted((one, another), key=lambda each: not each._streams)
        assert watching._streams
        assert not idle._streams

        watching.close()
        Worker.objects.filter(pk=watching._worker).delete()
        settle(task, idle)
        target.cluster.delete(pods_of(target)[0])

        until(lambda: is_woken(task), idle)


def test_who_takes_over_and_cannot_watch_wakes_what_another_had_covered(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch_streams, "GRACE_SECONDS", 1.0)
    with a_workers_watches() as one, a_workers_watches() as another:
        with slow_cluster(settings) as (_, target):
            task = deploy(target)
            until(lambda: one._streams or another._streams, one, another)
            watching, idle = sorted((one, another), key=lambda each: not each._streams)
            settle(task, watching)
            told_at = now()
            RolloutWatch.objects.update(is_covered=False, told_at=told_at)
            until(lambda: idle._told_at[task.pk] == told_at, idle)
            RolloutWatch.objects.update(is_covered=True)

        watching.close()
        Worker.objects.filter(pk=watching._worker).delete()

        until(lambda: is_woken(task), idle)
    assert not RolloutWatch.objects.get().is_covered


def test_a_wake_that_the_database_refused_is_made_up_for(
    target: Target, watches: Watches, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = deploy(target)
    settle(task, watches)
    web = ObjectRef(api_version="apps/v1", kind="Deployment", name="web", namespace="default")
    refused = []

    def refuse(rows: QuerySet[TaskRun]) -> int:
        refused.append(rows)
        raise OperationalError("the database is away")

    with monkeypatch.context() as broken:
        broken.setattr("executions.watches.wake_all", refuse)
        broken.setattr("executions.watches.AGAIN_SECONDS", 0.0)
        target.cluster.patch(web, {"metadata": {"annotations": {"note": "changed"}}})
        deadline = time.monotonic() + 1.0
        while time.monotonic() < deadline or not refused:
            with suppress(OperationalError):
                watches.look()
        watches._begin_anew()

    until(lambda: is_woken(task), watches)


def test_the_watches_go_on_when_they_cannot_even_begin_anew(
    watches: Watches, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rounds: list[str] = []
    goes_on = threading.Event()

    def look() -> None:
        rounds.append("look")
        if len(rounds) == 1:
            raise ZeroDivisionError
        goes_on.set()

    def begin_anew() -> None:
        rounds.append("begin")
        if rounds.count("begin") == 1:
            raise ZeroDivisionError
        watches._has_failed = False

    monkeypatch.setattr(watches, "look", look)
    monkeypatch.setattr(watches, "_begin_anew", begin_anew)
    monkeypatch.setattr("executions.watches.AGAIN_SECONDS", 0.0)
    thread = threading.Thread(target=watches.run)
    thread.start()
    try:
        assert goes_on.wait(PATIENCE_SECONDS)
    finally:
        watches.close()
        thread.join(PATIENCE_SECONDS)

    assert rounds[:4] == ["look", "begin", "begin", "look"]
    assert caplog.text.count("The watches failed") == 2


def test_a_watch_that_cannot_start_is_started_later(
    target: Target, watches: Watches, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = deploy(target)

    def refuse(_stream: watch_streams.Stream) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as broken:
        broken.setattr(watch_streams.Stream, "start", refuse)
        with pytest.raises(RuntimeError):
            until(lambda: False, watches)
    watches._begin_anew()

    until(lambda: RolloutWatch.objects.get(pk=task.pk).is_covered, watches)


def test_who_goes_back_to_a_release_without_watches_wakes_the_tasks_as_the_manual_says(
    target: Target, watches: Watches
) -> None:
    task = deploy(target)
    settle(task, watches)
    watches.close()
    manual = (ROOT / "docs" / "operations.md").read_text()
    found = re.search(r'shell -c "\n(.+?)"\n', manual, re.DOTALL)
    assert found

    call_command("shell", command=found[1], no_imports=True)

    assert is_woken(task)
    drain()
    assert sleep_of(task) < timedelta(minutes=1)


@pytest.mark.skipif(connection.vendor != "postgresql", reason="rows are not locked elsewhere")
def test_a_task_that_somebody_holds_is_woken_when_it_is_free_and_nobody_waits_for_it(
    target: Target, watches: Watches
) -> None:
    task = deploy(target)
    settle(task, watches)
    with closing(connections.create_connection("default")) as other, other.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("SELECT 1 FROM executions_taskrun WHERE id = %s FOR UPDATE", [task.pk])

        target.cluster.delete(pods_of(target)[0])
        until(lambda: task.pk in watches._queue, watches)
        watches.look()
        assert not is_woken(task)

        cursor.execute("ROLLBACK")
        until(lambda: is_woken(task), watches)


def test_who_may_not_watch_looks_on(
    settings: Settings, watches: Watches, caplog: pytest.LogCaptureFixture
) -> None:
    with slow_cluster(settings, forbidden=frozenset({"watch pods"})) as (_, target):
        task = deploy(target)

        until(lambda: any(stream.is_refused for stream in watches._streams.values()), watches)
        for _ in range(5):
            watches.look()
        look_again(task)

        assert not RolloutWatch.objects.get().is_covered
        assert sleep_of(task) < timedelta(seconds=6)
        told = [each for each in caplog.records if each.levelno >= logging.WARNING]
        assert len(told) == 1
        assert "cannot watch resource" in told[0].getMessage()


def test_who_may_not_see_pods_is_woken_by_the_object_alone(
    settings: Settings, watches: Watches
) -> None:
    with slow_cluster(settings, forbidden=frozenset({"watch pods", "list pods"})) as (_, target):
        task = deploy(target)

        settle(task, watches)

        assert RolloutWatch.objects.get().is_covered


def test_a_connection_that_is_cut_is_made_again(
    slow: tuple[KubernetesServer, Target], watches: Watches
) -> None:
    server, target = slow
    task = deploy(target)
    settle(task, watches)

    server.hang_up()
    target.cluster.delete(pods_of(target)[0])

    until(lambda: is_woken(task), watches)
    assert RolloutWatch.objects.get().is_covered


def test_a_watch_from_a_forgotten_version_begins_anew(
    slow: tuple[KubernetesServer, Target], watches: Watches, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, target = slow
    task = deploy(target)
    settle(task, watches)
    monkeypatch.setattr(watch_streams, "WATCH_SECONDS", 0)
    right, versions = Kubernetes.marks, iter(["1"])

    def from_long_ago(client: Kubernetes, *args: str, namespace: str = "") -> object:
        version, marks = right(client, *args, namespace=namespace)
        return next(versions, version), marks

    monkeypatch.setattr(Kubernetes, "marks", from_long_ago)
    slow[0].hang_up()
    until(lambda: next(versions, None) is None, watches)
    monkeypatch.undo()
    target.cluster.delete(pods_of(target)[0])

    until(lambda: is_woken(task), watches)


def test_what_a_watch_does_not_tell_the_next_list_finds(
    target: Target, watches: Watches, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch_streams, "WATCH_SECONDS", 2)
    monkeypatch.setattr(watch_streams, "STANDING_SECONDS", 0.5)
    task = deploy(target)
    settle(task, watches)
    monkeypatch.setattr(Board, "heard", lambda *_: None)

    target.cluster.delete(pods_of(target)[0])

    until(lambda: is_woken(task), watches)


def test_a_cluster_that_goes_away_leaves_its_tasks_to_look_and_is_watched_again(
    settings: Settings,
    watches: Watches,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(watch_streams, "GRACE_SECONDS", 1.0)
    monkeypatch.setattr(watch_streams, "STANDING_SECONDS", 0.5)
    state = tmp_path / "cluster.json"
    with slow_cluster(settings, state=state) as (first, target):
        task = deploy(target)
        settle(task, watches)
        port = urlsplit(first.url).port or 0

    until(lambda: is_woken(task) and not RolloutWatch.objects.get().is_covered, watches)

    with KubernetesServer(token=TOKEN, rollout_seconds=NEVER, state=state, port=port):
        until(lambda: RolloutWatch.objects.get().is_covered, watches)
    warnings = [each for each in caplog.records if each.levelno >= logging.WARNING]
    assert 1 <= len(warnings) <= 6
    assert TOKEN not in caplog.text


def test_an_endpoint_that_is_edited_is_watched_with_what_it_says_now(
    target: Target, watches: Watches
) -> None:
    task = deploy(target)
    settle(task, watches)
    before = set(watches._streams.values())
    endpoint = Endpoint.objects.get(name="cluster")

    endpoint.credentials = {"token": "expired"}
    endpoint.save()
    until(lambda: before.isdisjoint(watches._streams.values()), watches)
    until(lambda: any("credentials" in each.reason for each in watches._streams.values()), watches)

    endpoint.credentials = {"token": TOKEN}
    endpoint.save()
    settle(task, watches)


def test_an_endpoint_that_is_deleted_is_watched_no_more(target: Target, watches: Watches) -> None:
    settle(deploy(target), watches)

    Endpoint.objects.filter(name="cluster").delete()

    until(lambda: not watches._streams, watches)
    assert not RolloutWatch.objects.exists()


def test_a_task_whose_endpoint_is_deleted_does_not_sleep_on(
    target: Target, watches: Watches, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("executions.watches.WHOLE_SECONDS", 0.2)
    task = deploy(target)
    settle(task, watches)

    Endpoint.objects.filter(name="cluster").delete()
    until(lambda: is_woken(task), watches)
    drain()

    task.refresh_from_db()
    assert task.status == "FAILED"
    assert "no endpoint" in task.message


def test_nothing_is_watched_when_nobody_waits_any_more(
    target: Target, watches: Watches, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("executions.watches.WHOLE_SECONDS", 0.2)
    settle(deploy(target), watches)

    TaskRun.objects.update(status="FAILED", finished_at=now(), wake_at=None)

    until(lambda: not watches._streams, watches)


def test_a_delete_is_woken_when_the_object_is_gone(
    slow: tuple[KubernetesServer, Target], watches: Watches
) -> None:
    server, target = slow
    target.cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "lab"}})
    source = SOURCE.replace("action: Apply", "action: Delete").partition("apiVersion")[0]
    manifest = "{apiVersion: v1, kind: Namespace, metadata: {name: lab}}"
    task = deploy(target, source + manifest)
    settle(task, watches)

    server._cluster._seconds = 0

    until(lambda: has_completed(task), watches)


def test_ten_objects_cost_two_watches_while_they_wait(
    slow: tuple[KubernetesServer, Target], watches: Watches
) -> None:
    server, target = slow
    head, begin, rest = SOURCE.partition("            apiVersion")
    each = begin + rest
    several = "            ---\n".join(
        each.replace("name: web,", f"name: web-{number},") for number in range(10)
    )
    task = deploy(target, head + several)
    settle(task, watches)
    before = requests(server)

    deadline = time.monotonic() + 1.5
    until(lambda: time.monotonic() > deadline, watches)

    assert {each.place.kind for each in watches._streams.values()} == {"Deployment", "Pod"}
    assert len(task.output["objects"]) == 10
    assert requests(server) == before


def test_closing_ends_every_thread_at_once(target: Target, watches: Watches) -> None:
    settle(deploy(target), watches)
    names = {"watch Pod", "watch Deployment"}
    running = [each for each in threading.enumerate() if each.name in names]

    watches.close()
    for each in running:
        each.join(PATIENCE_SECONDS)

    assert len(running) >= 2
    assert not any(each.is_alive() for each in running)
