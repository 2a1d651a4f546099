"""Deliveries of many pushes, each many times, shuffled and at once: every push runs once.

``python -m tests.process.test_shuffled_deliveries [--postgres]`` does it with 5,000 of 200 pushes,
and kills a web process in between.
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
from tests.running import Running, running_product, until

pytestmark = [pytest.mark.process, pytest.mark.xdist_group("product")]
SENDERS = 8


def deliveries(pushes: int, times: int, *, seed: int) -> list[bytes]:
    """Bodies as Docker Hub sends them, in any order; each push has a tag of its own."""
    bodies = [
        json.dumps(
            {
                "push_data": {"pusher": "ada", "tag": f"s{number}", "pushed_at": 1_770_000_000},
                "repository": {"repo_name": "demo/web", "name": "web", "namespace": "demo"},
            }
        ).encode()
        for number in range(pushes)
    ] * times
    random.Random(seed).shuffle(bodies)
    return bodies


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
    """Send everything at once, repeat what got no 200, and count what became of it."""
    url = product.hook_url()
    with ThreadPoolExecutor(SENDERS) as senders:
        waiting = senders.map(lambda body: (body, send(url, body)), bodies)
        if kill:
            time.sleep(2)
            product.kill("gunicorn")
        answers = list(waiting)
    lost = [body for body, status in answers if status != 200]
    answered = len(answers) - len(lost)
    for body in lost:
        until(partial(_is_taken, url, body))
    until(lambda: not _verdicts(product)["PENDING"], seconds=600)
    return _verdicts(product) + Counter(answered=answered, repeated=len(lost))


def _is_taken(url: str, body: bytes) -> bool:
    return send(url, body) == 200


def _verdicts(product: Running) -> Counter[str]:
    counts: Counter[str] = Counter()
    page = "registry-events?$top=1000"
    while page:
        found = product.api(page)
        counts.update(row["verdict"] for row in found["documents"].values())
        page = str(found.get("nextPageLink") or "").rpartition("/codestream/api/")[2]
    return counts


@pytest.mark.parametrize("options", [(), ("--postgres",)], ids=["sqlite", "postgres"])
def test_each_push_runs_once(options: tuple[str, ...], folder: Path) -> None:
    if options and not is_installed():
        pytest.skip("PostgreSQL is not installed")
    with running_product(folder, *options) as product:
        counts = run(product, deliveries(10, 12, seed=7))

    assert counts == {"answered": 120, "TRIGGERED": 10, "DUPLICATE": 110}


def main() -> int:
    """Do it at full size; the exit code says whether every push ran once."""
    with tempfile.TemporaryDirectory(prefix="codestream-shuffled-") as name:
        Path(name).chmod(0o711)
        with running_product(Path(name), *sys.argv[1:]) as product:
            started = time.monotonic()
            counts = run(product, deliveries(200, 25, seed=11), kill=True)
            print(dict(counts), f"{time.monotonic() - started:.0f} s")
    stored = sum(counts[name] for name in ("TRIGGERED", "DUPLICATE"))
    return 0 if counts["TRIGGERED"] == 200 and stored >= 5000 else 1


if __name__ == "__main__":
    sys.exit(main())
