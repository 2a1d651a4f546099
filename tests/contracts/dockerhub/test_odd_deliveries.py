"""Deliveries as they may come: several at once, slow, large, broken, in any order."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from base64 import b64encode
from typing import Any

import pytest

from codestream.sandbox.dockerhub import DockerHubServer
from endpoints.clients.dockerhub import DockerHub
from tests.contracts.dockerhub.conftest import Receiver
from tests.running import ask

PLACE = {"namespace": "demo", "repository": "web"}


@pytest.fixture
def told(hub: DockerHub, server: DockerHubServer, receiver: Receiver) -> Receiver:
    """A receiver that hears of every push."""
    hub.create_webhook("demo", "web", "hook", f"{receiver.url}/hook?secureToken=x")
    return receiver


def control(server: DockerHubServer, what: str, **body: Any) -> int:
    """Let the stand-in do it; return how many notifications that made, when all are sent."""
    answer = ask(f"{server.url}/_control/{what}", {**PLACE, **body})
    server.settle()
    return int(answer["notifications"])


@pytest.mark.parametrize("concurrently", [True, False])
def test_one_push_is_told_several_times(
    server: DockerHubServer, told: Receiver, concurrently: bool
) -> None:
    sent = control(server, "push", tag="1.2.3", times=6, concurrently=concurrently)

    assert sent == 6
    assert told.tags == ["1.2.3"] * 6
    assert len({request.body for request in told.received}) == 1


def test_a_push_may_be_told_to_nobody(server: DockerHubServer, told: Receiver) -> None:
    assert control(server, "push", tag="1.2.3", times=0) == 0
    assert told.received == []
    assert "1.2.3" in server.store.repositories["demo/web"].tags


def test_the_last_deliveries_come_again_in_the_wrong_order(
    server: DockerHubServer, told: Receiver
) -> None:
    for tag in ("1", "2", "3"):
        control(server, "push", tag=tag)

    assert control(server, "replay", last=2) == 2

    assert told.tags == ["1", "2", "3", "3", "2"]
    assert told.received[2].body == told.received[3].body


def test_a_burst_of_hundreds_arrives_whole(server: DockerHubServer, told: Receiver) -> None:
    assert control(server, "push", tag="1.2.3", times=200) == 200
    assert told.tags == ["1.2.3"] * 200


def test_a_slow_sender_sends_the_same(server: DockerHubServer, told: Receiver) -> None:
    control(server, "push", tag="1.2.3", drip_seconds=0.01)
    assert told.tags == ["1.2.3"]


def test_a_description_may_be_large(server: DockerHubServer, told: Receiver) -> None:
    control(server, "push", tag="1.2.3", description_bytes=200_000)
    (request,) = told.received
    assert len(json.loads(request.body)["repository"]["full_description"]) == 200_000


@pytest.mark.parametrize("off", [7, -7])
def test_the_announced_length_may_be_wrong(
    server: DockerHubServer, told: Receiver, off: int
) -> None:
    control(server, "push", tag="1.2.3", length_off_by=off)

    (request,) = told.received
    missing = int(request.headers["Content-Length"]) - len(request.body)
    assert missing == max(off, 0)
    assert request.body.endswith(b"}}") == (off > 0)


def test_bytes_that_are_no_text_are_sent_as_they_are(
    server: DockerHubServer, told: Receiver
) -> None:
    control(server, "deliver", base64=b64encode(b"\xff\xfe{}").decode())
    assert [request.body for request in told.received] == [b"\xff\xfe{}"]


@pytest.mark.parametrize(
    ("habit", "body"), [(404, b'{"message": "404: Page Not Found"}'), (400, b"Update not allowed")]
)
def test_the_callback_is_dead_and_counts_who_calls_it(
    server: DockerHubServer, told: Receiver, habit: int, body: bytes
) -> None:
    ask(f"{server.url}/_control/habits", {"callback": habit})
    control(server, "push", tag="1.2.3")
    url = json.loads(told.received[0].body)["callback_url"]
    assert ask(f"{server.url}/_control/state")["callbacks"] == 0

    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(url, data=b'{"state": "success"}', timeout=10)

    with refused.value as answer:
        assert (answer.code, answer.read()) == (habit, body)
    assert ask(f"{server.url}/_control/state")["callbacks"] == 1
