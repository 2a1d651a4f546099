"""Which tasks hear of which change, and what a worker watches for them."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest

from codestream.core.json_types import Json, JsonObject
from endpoints.clients.kubernetes_marks import Mark, digest_of, sight, workload_of
from executions.runners.base import Sight
from executions.watch_board import Board, Place, State, Waiting
from executions.watches import FEW_NAMESPACES, MOST_STREAMS, planned, watcher_of

CLUSTER, OTHER_CLUSTER = uuid.UUID(int=1), uuid.UUID(int=2)
DEPLOYMENTS = Place(CLUSTER, "apps/v1", "Deployment", "shop")
PODS = Place(CLUSTER, "v1", "Pod", "shop")
TASK = uuid.UUID(int=7)
WEB = ("Deployment", "web")


def mark(name: str, version: str, *, workload: tuple[str, str] | None = None) -> Mark:
    return Mark(namespace="shop", name=name, version=version, workload=workload)


def pod(name: str, version: str) -> Mark:
    return mark(name, version, workload=WEB)


def waiting_for_web(seen: str, *, endpoint: uuid.UUID = CLUSTER) -> Waiting:
    return Waiting(endpoint, (Sight("apps/v1", "Deployment", "shop", "web", seen),), True)


@pytest.fixture
def board() -> Board:
    """One task that waits for ``web`` as it is, which is watched."""
    made = Board(lambda: None)
    made.served = {DEPLOYMENTS: DEPLOYMENTS, PODS: PODS}
    made.listed(DEPLOYMENTS, [mark("web", "1")])
    made.listed(PODS, [pod("web-a", "2"), pod("web-b", "3")])
    made.put(TASK, waiting_for_web(sight("1", digest_of([pod("web-b", "3"), pod("web-a", "2")]))))
    return made


def test_who_has_seen_all_there_is_has_no_news(board: Board) -> None:
    assert not board.has_news(TASK)
    assert board.told() == set()


@pytest.mark.parametrize(
    "change",
    [
        lambda board: board.heard(DEPLOYMENTS, "MODIFIED", mark("web", "4")),
        lambda board: board.heard(DEPLOYMENTS, "DELETED", mark("web", "4")),
        lambda board: board.heard(PODS, "MODIFIED", pod("web-a", "4")),
        lambda board: board.heard(PODS, "ADDED", pod("web-c", "4")),
        lambda board: board.heard(PODS, "DELETED", pod("web-a", "4")),
        lambda board: board.listed(PODS, [pod("web-b", "3")]),
        lambda board: board.listed(DEPLOYMENTS, []),
    ],
)
def test_a_change_of_the_object_or_of_its_pods_is_news(
    board: Board, change: Callable[[Board], None]
) -> None:
    change(board)

    assert board.told() == {TASK}
    assert board.has_news(TASK)
    assert board.told() == set()


@pytest.mark.parametrize(
    ("place", "other"),
    [
        (DEPLOYMENTS, mark("api", "4")),
        (PODS, mark("api-a", "4", workload=("Deployment", "api"))),
        (PODS, mark("web-0", "4", workload=("StatefulSet", "web"))),
        (PODS._replace(endpoint=OTHER_CLUSTER), pod("web-c", "4")),
        (
            PODS._replace(namespace="lab"),
            Mark(namespace="lab", name="x", version="4", workload=WEB),
        ),
    ],
)
def test_what_others_do_is_no_news(board: Board, place: Place, other: Mark) -> None:
    board.heard(place, "ADDED", other)

    assert TASK not in board.told()


def test_what_comes_back_to_what_was_seen_is_no_news_any_more(board: Board) -> None:
    board.heard(PODS, "ADDED", pod("web-c", "4"))
    board.heard(PODS, "DELETED", pod("web-c", "5"))

    assert not board.has_news(TASK)


def test_who_has_looked_since_has_no_news(board: Board) -> None:
    pods = [pod("web-a", "4"), pod("web-b", "3")]
    board.heard(PODS, "MODIFIED", pods[0])

    board.put(TASK, waiting_for_web(sight("1", digest_of(pods))))

    assert not board.has_news(TASK)


def test_a_watch_on_the_whole_cluster_serves_a_namespace(board: Board) -> None:
    everywhere = PODS._replace(namespace="")
    board.served = {DEPLOYMENTS: DEPLOYMENTS, PODS: everywhere}
    board.listed(everywhere, [pod("web-a", "2")])
    board.told()

    board.heard(everywhere, "ADDED", pod("web-b", "3"))

    assert board.told() == {TASK}
    assert not board.has_news(TASK)


def test_nobody_is_told_of_what_is_not_waited_for_any_more(board: Board) -> None:
    board.drop(TASK)
    board.heard(PODS, "ADDED", pod("web-c", "4"))

    assert board.told() == set()
    assert board.needs() == set()


def test_a_task_needs_all_of_its_watches(board: Board) -> None:
    live = {DEPLOYMENTS: State.LIVE, PODS: State.LIVE}

    assert board.state_of(TASK, live) is State.LIVE
    assert board.state_of(TASK, live | {PODS: State.PENDING}) is State.PENDING
    assert board.state_of(TASK, {DEPLOYMENTS: State.PENDING}) is State.DOWN


def test_an_object_without_pods_needs_no_watch_on_them() -> None:
    waiting = Waiting(CLUSTER, (Sight("v1", "Service", "shop", "web", sight("1")),), False)

    assert waiting.needs == {Place(CLUSTER, "v1", "Service", "shop")}


def needs_of(number: int) -> set[Place]:
    return {PODS._replace(namespace=f"shop-{each}") for each in range(number)}


def test_a_few_namespaces_have_a_watch_each() -> None:
    needs = needs_of(FEW_NAMESPACES)

    assert planned(needs, {}, {}) == {need: need for need in needs}


def test_many_namespaces_share_one_watch() -> None:
    needs = needs_of(FEW_NAMESPACES + 1)

    assert set(planned(needs, {}, {}).values()) == {PODS._replace(namespace="")}


def test_who_may_not_watch_everything_watches_each_namespace() -> None:
    needs = needs_of(FEW_NAMESPACES + 1)

    assert planned(needs, {PODS._replace(namespace="")}, {}) == {need: need for need in needs}


def test_where_no_watch_is_allowed_there_is_none() -> None:
    assert planned({PODS}, {PODS}, {}) == {PODS: None}


def test_watches_have_a_limit_and_those_that_run_go_on() -> None:
    needs = needs_of(MOST_STREAMS + 9)
    running = dict.fromkeys(sorted(needs)[-5:])

    chosen = planned(needs, {PODS._replace(namespace="")}, running)

    assert sum(place is not None for place in chosen.values()) == MOST_STREAMS
    assert all(chosen[place] == place for place in running)


def test_workers_share_the_clusters_and_one_that_goes_takes_only_its_own() -> None:
    workers = [uuid.uuid4() for _ in range(3)]
    clusters = [uuid.uuid4() for _ in range(200)]
    before = {each: watcher_of(each, workers) for each in clusters}

    after = {each: watcher_of(each, workers[1:]) for each in clusters}

    assert set(before.values()) == set(workers)
    assert all(after[each] == before[each] for each in clusters if before[each] != workers[0])


@pytest.mark.parametrize(
    ("kind", "name", "labels", "expected"),
    [
        ("ReplicaSet", "web-7d4", {"pod-template-hash": "7d4"}, ("Deployment", "web")),
        ("ReplicaSet", "web-7d4", {}, ("ReplicaSet", "web-7d4")),
        ("StatefulSet", "db", {"controller-revision-hash": "db-1"}, ("StatefulSet", "db")),
        ("Job", "migrate", {}, ("Job", "migrate")),
    ],
)
def test_a_pod_names_its_workload(
    kind: str, name: str, labels: dict[str, str], expected: tuple[str, str]
) -> None:
    owner: Json = {"kind": kind, "name": name, "controller": True}
    other: Json = {"kind": "Node", "name": "n", "controller": False}

    body: JsonObject = {"metadata": {"labels": {**labels}, "ownerReferences": [other, owner]}}

    assert workload_of(body) == expected


def test_a_pod_of_its_own_has_no_workload() -> None:
    assert workload_of({"metadata": {"name": "debug"}}) is None
