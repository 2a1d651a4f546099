"""What a push asks of the database, so that it does not grow unseen: statements, those that begin
and end transactions included. A lower number is good news; put it here.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django.fixtures import Settings

from benchmarks import scene
from benchmarks.client import body_of, tags
from benchmarks.cluster import InstantCluster
from codestream.core.work import claim, due, kind_named
from executions.models import Execution
from executions.states import Status
from executions.workers import no_workers

pytestmark = pytest.mark.django_db
TAGS = tags()


@pytest.fixture
def cluster(settings: Settings) -> Iterator[InstantCluster]:
    with InstantCluster() as cluster:
        settings.OUTGOING_ALLOW = [cluster.place]
        yield cluster


@pytest.fixture
def hook(cluster: InstantCluster, settings: Settings) -> str:
    """The path of a hook; one push before has composed and parsed what is kept for the next."""
    (url,) = scene.make_pipelines(cluster.url)
    path = url.removeprefix(settings.PUBLIC_URL)
    push(path)
    work("event")
    work("task")
    return path


def push(path: str, tag: str = "") -> int:
    """Deliver a push; return how many statements that took."""
    body = body_of(tag or next(TAGS))
    with CaptureQueriesContext(connection) as asked:
        answer = Client().post(path, body, content_type="application/json")
    assert answer.status_code == 200
    return len(asked)


def work(name: str) -> int:
    """Claim the row of this kind that is due and do its step; return as ``push`` does."""
    kind = kind_named(name)
    assert kind is not None
    key = due(kind, alive=no_workers, limit=1)[0][1]
    with CaptureQueriesContext(connection) as asked:
        taken = claim(kind, key, owner=uuid.uuid4(), alive=no_workers)
        assert taken is not None
        kind.step(taken)
    return len(asked)


def test_a_delivery(hook: str) -> None:
    assert push(hook) == 1


def test_a_judgement_that_starts_an_execution(hook: str) -> None:
    push(hook)

    assert work("event") == 19


def test_a_judgement_of_a_tag_that_moved(hook: str) -> None:
    for _ in range(2):
        push(hook, "latest")
    work("event")

    assert work("event") == 21


def test_a_task_until_its_execution_is_over(hook: str, cluster: InstantCluster) -> None:
    push(hook)
    work("event")
    cluster.calls.clear()

    assert work("task") == 19
    assert Execution.objects.filter(status=Status.COMPLETED).count() == 2
    assert [call.method for call in cluster.calls] == ["GET", "PATCH"]
