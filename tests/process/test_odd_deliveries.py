"""What senders really do, and what strangers try, against the product as it runs: one run for one
push, nothing lost, nobody called.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from base64 import b64encode
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from codestream.sandbox.http_server import HttpServer, Request, Response
from tests.running import Running, ask, running_product, until

pytestmark = [
    pytest.mark.process,
    pytest.mark.xdist_group("product"),
    pytest.mark.timeout(400),
]


def control(product: Running, what: str, **body: Any) -> None:
    """Let the local Docker Hub do it."""
    place = {"namespace": "demo", "repository": "web"}
    ask(f"{product.places.dockerhub_url}/_control/{what}", {**place, **body})


def verdicts(product: Running, deliveries: int) -> Counter[tuple[str, str]]:
    """Wait for so many judged deliveries; return how often each tag came to what."""

    def look() -> Counter[tuple[str, str]] | None:
        rows = product.rows("SELECT tag, verdict FROM webhooks_registryevent")
        is_judged = len(rows) >= deliveries and "PENDING" not in {row[1] for row in rows}
        return Counter((str(tag), str(verdict)) for tag, verdict in rows) if is_judged else None

    return until(look, seconds=120)


def post(url: str, body: Mapping[str, object]) -> int:
    request = urllib.request.Request(url, data=json.dumps(body).encode(), method="POST")
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code


def test_odd_deliveries_of_one_push_run_it_once(folder: Path) -> None:
    with running_product(folder) as product:
        control(product, "push", tag="six", times=6)
        control(product, "push", tag="slow", drip_seconds=0.1)
        control(product, "push", tag="large", description_bytes=200_000)
        control(product, "push", tag="burst", times=100)
        assert sum(verdicts(product, 108).values()) == 108

        control(product, "replay", last=3)
        control(product, "push", tag="short", length_off_by=7)
        control(product, "push", tag="cut", length_off_by=-7)
        control(product, "deliver", base64=b64encode(b'{"push_data": "\xff"}').decode())
        found = verdicts(product, 114)

    assert found == {
        ("six", "TRIGGERED"): 1,
        ("six", "DUPLICATE"): 5,
        ("slow", "TRIGGERED"): 1,
        ("large", "TRIGGERED"): 1,
        ("burst", "TRIGGERED"): 1,
        ("burst", "DUPLICATE"): 102,
        # Less came than was announced, and it was whole.
        ("short", "TRIGGERED"): 1,
        # What is cut off and what is no text is kept, with the reason.
        ("", "REJECTED"): 2,
    }


def test_strangers_start_nothing_and_nobody_is_called_back(folder: Path) -> None:
    called: list[Request] = []

    def listener(request: Request) -> Response:
        called.append(request)
        return Response()

    with HttpServer(listener) as trap, running_product(folder) as product:
        url = product.hook_url()
        bare = url.partition("?")[0]
        push = {
            "callback_url": f"{trap.url}/u/demo/web/hook/x/",
            "push_data": {"tag": "hostile", "pusher": "eve"},
            "repository": {"repo_name": "demo/web", "namespace": "demo", "name": "web"},
        }
        other = push | {"repository": {"repo_name": "eve/web", "namespace": "eve", "name": "web"}}

        assert post(bare, push) == 403
        assert post(f"{bare}?secureToken=wrong", push) == 403
        assert product.rows("SELECT COUNT(*) FROM webhooks_registryevent") == [(0,)]
        assert post(url, other) == 200
        for address in (f"{product.url}/healthz", "http://169.254.169.254/", push["callback_url"]):
            assert post(url, push | {"callback_url": address}) == 200
        control(product, "push", tag="own")

        found = verdicts(product, 5)
        product.ended("own")
        state = ask(f"{product.places.dockerhub_url}/_control/state")

    assert found == {
        ("hostile", "REJECTED"): 1,
        ("hostile", "TRIGGERED"): 1,
        ("hostile", "DUPLICATE"): 2,
        ("own", "TRIGGERED"): 1,
    }
    assert called == []
    assert state["callbacks"] == 0
