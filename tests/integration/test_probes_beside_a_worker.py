"""A machine that runs only workers is watched like one that serves pages."""

from __future__ import annotations

import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from pytest_django.fixtures import Settings

from codestream.core.metrics import EVENTS
from codestream.operations.probes import serving_probes
from tests.running import until

pytestmark = pytest.mark.django_db(transaction=True)
HOST = "127.0.0.1"


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def served(port: int, settings: Settings) -> Iterator[int]:
    settings.METRICS_TOKEN = "scrape-me"
    with serving_probes(HOST, port):
        until(lambda: answer(port, "/healthz")[0])
        yield port


def answer(port: int, path: str, token: str = "") -> tuple[int, str]:
    request = urllib.request.Request(f"http://{HOST}:{port}{path}")
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.read().decode()
    except OSError:
        return 0, ""


def test_what_was_counted_is_told_to_who_has_the_token(served: int) -> None:
    EVENTS.labels("TRIGGERED").inc()

    status, text = answer(served, "/metrics", "scrape-me")

    assert status == 200
    assert 'codestream_events_judged_total{verdict="TRIGGERED"}' in text
    assert answer(served, "/metrics")[0] == 401


def test_probes_are_answered_and_nothing_else(served: int) -> None:
    paths = ("/healthz", "/readyz", "/executions/", "/codestream/api/executions", "/admin/")

    assert [answer(served, path)[0] for path in paths] == [200, 200, 404, 404, 404]


def test_a_second_worker_takes_the_place_when_the_first_ends(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("codestream.operations.probes.AGAIN_SECONDS", 0.05)
    with serving_probes(HOST, port):
        until(lambda: answer(port, "/healthz")[0])
        second = serving_probes(HOST, port)
        second.__enter__()
    try:
        assert until(lambda: answer(port, "/healthz")[1]) == "ok"
    finally:
        second.__exit__(None, None, None)


def test_nothing_is_served_unless_a_port_is_given() -> None:
    with serving_probes(HOST, 0):
        assert "probes" not in {thread.name for thread in threading.enumerate()}
