"""Deliveries of many pushes, each many times, shuffled and at once: every push runs once.

``python -m tests.process.test_shuffled_deliveries [--postgres]`` does it with 5,000 of 200 pushes,
50 tags that come to stand for four digests each, and kills a web process in between.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from codestream.local_postgres import is_installed
from tests.running import Running, ask, running_product, until

pytestmark = [pytest.mark.process, pytest.mark.xdist_group("product")]
SENDERS = 8
FOLDED, STARTED = "DUPLICATE", "TRIGGERED"


def deliveries(tags: int, times: int, *, seed: int) -> list[bytes]:
    """Bodies as Docker Hub sends them, in any order, of one push of each tag."""
    bodies = [
        json.dumps(
            {
                "push_data": {"pusher": "ada", "tag": f"s{number}", "pushed_at": time.time()},
                "repository": {"repo_name": "demo/web", "name": "web", "namespace": "demo"},
            }
        ).encode()
        for number in range(tags)
    ] * times
    random.Random(seed).shuffle(bodies)
    return bodies


def push_all(product: Running, tags: int) -> None:
    """Let every tag stand for another digest; nobody is told."""
    for number in range(tags):
        push = {"namespace": "demo", "repository": "web", "tag": f"s{number}", "times": "0"}
        ask(f"{product.places.dockerhub_url}/_control/push", push)


def send(url: str, body: bytes) -> int:
    """Post one delivery; 0 when no answer came."""
    request = urllib.request.Request(url, data=body, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def run(product: Running, bodies: list[bytes], *, kill: bool = False) -> Counter[str]:
    """Send everything at once, repeat what got no 200, and wait until all is judged."""
    url = product.hook_url()
    with ThreadPoolExecutor(SENDERS) as senders:
        waiting = senders.map(lambda body: (body, send(url, body)), bodies)
        if kill:
            time.sleep(2)
            product.kill("gunicorn")
        answers = list(waiting)
    lost = [body for body, status in answers if status != 200]
    for body in lost:
        until(partial(_is_taken, url, body))
    until(lambda: not verdicts(product)["PENDING"], seconds=600)
    return Counter(answered=len(answers) - len(lost), repeated=len(lost))


def _is_taken(url: str, body: bytes) -> bool:
    return send(url, body) == 200


def verdicts(product: Running) -> Counter[str]:
    """How many deliveries came to what."""
    found = product.rows("SELECT verdict, COUNT(*) FROM webhooks_registryevent GROUP BY verdict")
    return Counter(dict(found))


def executions(product: Running) -> int:
    """How many runs there are."""
    return int(product.rows("SELECT COUNT(*) FROM executions_execution")[0][0])


@pytest.mark.parametrize("options", [(), ("--postgres",)], ids=["sqlite", "postgres"])
def test_each_push_runs_once(options: tuple[str, ...], folder: Path) -> None:
    if options and not is_installed():
        pytest.skip("PostgreSQL is not installed")
    with running_product(folder, *options) as product:
        for seed in (7, 8):
            push_all(product, 5)
            assert run(product, deliveries(5, 12, seed=seed))["answered"] == 60

        assert verdicts(product) == {STARTED: 10, FOLDED: 110}
        assert executions(product) == 10


def main() -> int:
    """Do it at full size; the exit code says whether every push ran once."""
    sent: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="codestream-shuffled-") as name:
        Path(name).chmod(0o711)
        with running_product(Path(name), *sys.argv[1:]) as product:
            started = time.monotonic()
            for turn in range(4):
                push_all(product, 50)
                sent += run(product, deliveries(50, 25, seed=turn), kill=turn == 1)
                seconds = time.monotonic() - started
                print(f"{seconds:.0f} s", dict(sent), dict(verdicts(product)), flush=True)
            counts, runs = verdicts(product), executions(product)
    # An answer may get lost with the process after its delivery was written down.
    is_complete = 5000 <= counts[STARTED] + counts[FOLDED] <= 5000 + sent["repeated"]
    return 0 if counts[STARTED] == runs == 200 and is_complete else 1


if __name__ == "__main__":
    sys.exit(main())
