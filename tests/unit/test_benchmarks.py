"""What the benchmarks reckon with, and the stand-ins that they measure against."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count, islice
from pathlib import Path

import pytest
from pytest_django.fixtures import Settings

from benchmarks.bench import BenchmarkError, percentile, print_table, processor_seconds, usage_of
from benchmarks.burst import crowded, incomplete, overtaken, pushes
from benchmarks.client import Answer, Push, Senders, body_of, deliver, tags
from benchmarks.cluster import InstantCluster
from benchmarks.intake import Line
from benchmarks.peers import TOOLS, Setting
from benchmarks.scene import Run
from codestream.core.json_types import JsonObject
from codestream.sandbox.http_server import (
    ConnectionDropped,
    HttpServer,
    Request,
    Response,
    json_response,
)
from endpoints.clients.kubernetes import Change, ClusterAccess, Kubernetes, ObjectRef
from endpoints.clients.kubernetes_marks import sight
from endpoints.clients.kubernetes_rollouts import look
from endpoints.clients.rollout import RolloutState

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
DEPLOYMENT: JsonObject = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web", "namespace": "demo"},
    "spec": {"replicas": 2},
}
WEB = ObjectRef(api_version="apps/v1", kind="Deployment", name="web", namespace="demo")


def run_of(index: int, *, began: float = 0.0, ended: float = 1.0, status: str = "COMPLETED") -> Run:
    return Run(
        event=str(index),
        verdict="TRIGGERED",
        stored=NOON,
        pipeline="deploy",
        index=index,
        status=status,
        started=NOON + timedelta(seconds=began),
        finished=NOON + timedelta(seconds=ended),
    )


def answers_of(*times: tuple[float, float]) -> list[Answer]:
    return [
        Answer(hook="h", tag="t", status=200, event=str(place), sent=sent, answered=answered)
        for place, (sent, answered) in enumerate(times, 1)
    ]


@pytest.mark.parametrize(
    ("share", "expected"), [(0.0, 1), (0.5, 50), (0.501, 51), (0.99, 99), (1.0, 100)]
)
def test_a_percentile_is_a_value_that_so_many_do_not_exceed(share: float, expected: int) -> None:
    assert percentile(range(100, 0, -1), share) == expected


def test_there_is_no_percentile_of_nothing() -> None:
    with pytest.raises(ValueError, match="nothing"):
        percentile([], 0.5)


def test_a_table_has_its_numbers_to_the_right(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["name", "ms"], [["a", 1234.56], ["bb", 7.0]])

    assert capsys.readouterr().out.splitlines() == [
        "| name |      ms |",
        "|------|--------:|",
        "| a    | 1,234.6 |",
        "| bb   |     7.0 |",
    ]


def test_this_process_takes_memory_and_time() -> None:
    before = usage_of(os.getpid())
    sum(range(10**6))

    assert usage_of(os.getpid()).cpu_seconds >= before.cpu_seconds > 0
    assert before.memory_mib > 1


def test_what_a_program_started_itself_counts_as_well() -> None:
    busy = "import time\nwhile time.process_time() < 0.1: pass"
    outer = f"""
import subprocess, sys
subprocess.run([sys.executable, "-c", {busy!r}])
print("over", flush=True)
sys.stdin.read()
"""
    before = processor_seconds()
    command = [sys.executable, "-c", outer]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == b"over\n"
        used = processor_seconds() - before
        program.communicate()

    assert used >= 0.09


def test_pushes_of_one_benchmark_have_bodies_of_one_size() -> None:
    first, *others = (body_of(tag) for tag in islice(tags(0, 10**8), 12))

    assert {len(body) for body in others} == {len(first)}
    assert first not in others


def test_neighbours_push_in_the_middle_of_the_burst() -> None:
    burst = pushes(["busy", "a", "b"], 4, spread=False)

    assert [push.hook for push in burst] == ["busy", "busy", "a", "b", "busy", "busy"]
    assert len({push.tag for push in burst}) == len(burst)


def test_a_spread_burst_goes_to_all_alike() -> None:
    assert [push.hook for push in pushes(["a", "b"], 4, spread=True)] == ["a", "b", "a", "b"]


def test_pushes_under_way_at_the_same_time_have_no_order() -> None:
    runs = [run_of(1, began=1), run_of(2, began=2)]

    assert overtaken(answers_of((5, 9), (1, 6)), runs) == []


def test_a_push_that_was_answered_first_has_to_run_first() -> None:
    runs = [run_of(1, began=1), run_of(2, began=2)]

    assert overtaken(answers_of((5, 9), (1, 4)), runs) == ["deploy #2 was overtaken"]


def test_executions_start_in_the_order_of_their_numbers() -> None:
    runs = [run_of(1, began=2), run_of(2, began=1)]

    assert overtaken(answers_of((1, 2), (3, 4)), runs) == ["deploy #2 was overtaken"]


def test_a_place_is_free_at_the_moment_of_an_end() -> None:
    runs = [run_of(1, began=0, ended=1), run_of(2, began=1, ended=3), run_of(3, began=2, ended=4)]

    assert crowded(runs, 2) == []
    assert crowded(runs, 1) == ["2 executions of deploy ran at once"]


def test_every_execution_has_to_complete() -> None:
    assert incomplete([run_of(1), run_of(2, status="FAILED")]) == ["deploy #2 ended as FAILED"]


def test_a_rate_counts_what_was_taken_over_all_turns() -> None:
    line = Line(name="receiver")
    line.add(answers_of((0, 1), (1, 2)))
    line.add([*answers_of((10, 12)), replace(answers_of((10, 12))[0], status=503)])

    assert line.rate == 3 / 4


@pytest.fixture
def receiver() -> Iterator[str]:
    """A server that gives every push a number, and drops some."""
    numbers = count(1)

    def answer(request: Request) -> Response:
        if request.path == "/dropped":
            raise ConnectionDropped
        if request.path == "/busy":
            return json_response({"message": "x" * 200_000}, 503)
        if request.path == "/other":
            return Response(chunks=[b"1 change", b" found"], content_type="text/html")
        return json_response({"id": str(next(numbers))})

    with HttpServer(answer) as server:
        yield server.url


def the_pushes(hook: str, number: int) -> Iterable[Push]:
    return (Push(hook=hook, tag=tag) for tag in islice(tags(), number))


@pytest.mark.parametrize("connections", [1, 3, 9])
def test_every_push_is_delivered_once(receiver: str, connections: int) -> None:
    answers = deliver(the_pushes(f"{receiver}/hook", 7), connections=connections)

    assert sorted(answer.tag for answer in answers) == list(islice(tags(), 7))
    assert sorted(answer.event for answer in answers) == list("1234567")
    assert all(answer.sent < answer.answered for answer in answers)


def test_a_refusal_is_an_answer(receiver: str) -> None:
    answers = deliver(the_pushes(f"{receiver}/busy", 2))

    assert [(answer.status, answer.event) for answer in answers] == [(503, ""), (503, "")]


def test_another_server_may_answer_in_pieces(receiver: str) -> None:
    answers = deliver(the_pushes(f"{receiver}/other", 3))

    assert [(answer.status, answer.event) for answer in answers] == [(200, "")] * 3


def test_no_answer_ends_the_benchmark(receiver: str) -> None:
    with pytest.raises((BenchmarkError, ConnectionResetError)):
        deliver(the_pushes(f"{receiver}/dropped", 1))


def test_senders_push_different_tags_in_every_turn(receiver: str) -> None:
    with Senders(2) as senders:
        turns = [senders.push_for(0.05, f"{receiver}/hook") for _ in range(2)]

    seen = [answer.tag for turn in turns for answer in turn]
    assert len(set(seen)) == len(seen) >= 4


@pytest.mark.parametrize("name", ["buildbot", "webhook"])
def test_a_tool_that_is_not_there_is_named(name: str, tmp_path: Path) -> None:
    with InstantCluster() as cluster:
        setting = Setting(
            folder=tmp_path,
            database_url="",
            cluster=cluster,
            programs=str(tmp_path),
            at_once=1,
        )
        with pytest.raises(BenchmarkError, match=f"no {name}"), TOOLS[name](setting):
            pass


@pytest.mark.parametrize(
    ("ready", "state"), [(True, RolloutState.READY), (False, RolloutState.PROGRESSING)]
)
def test_the_instant_cluster_rolls_out_at_once_or_never(
    ready: bool, state: RolloutState, settings: Settings
) -> None:
    with InstantCluster(ready=ready) as cluster:
        settings.OUTGOING_ALLOW = [cluster.place]
        with Kubernetes(ClusterAccess(url=cluster.url)) as client:
            changes = [client.apply(DEPLOYMENT).change for _ in range(2)]
            rollout = look(client, WEB)

    assert changes == [Change.CREATED, Change.UNCHANGED]
    assert rollout.state is state
    assert [call.method for call in cluster.calls[:3]] == ["GET", "GET", "PATCH"]


def test_the_instant_cluster_is_watched_from_a_list_on(settings: Settings) -> None:
    with InstantCluster(ready=False) as cluster:
        settings.OUTGOING_ALLOW = [cluster.place]
        with Kubernetes(ClusterAccess(url=cluster.url)) as client:
            client.apply(DEPLOYMENT)
            version, marks = client.marks("apps/v1", "Deployment", namespace="demo")
            watch = client.watch(
                "apps/v1", "Deployment", namespace="demo", since=version, seconds=20
            )
            events = iter(watch)
            client.apply(DEPLOYMENT)
            told = next(events)
            watch.close()
            seen = look(client, WEB).seen

    assert [mark.name for mark in marks] == ["web"]
    assert (told[0], told[1].name) == ("MODIFIED", "web")
    assert seen == sight(told[1].version, 0)
