"""Processes are killed at random while pushes come in: what was answered runs once, in order."""

from __future__ import annotations

import json
import os
import random
import signal
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from codestream.local_postgres import is_installed
from tests.running import Running, running_product, until

PUSHES = 8
NEEDS_POSTGRES = pytest.mark.skipif(not is_installed(), reason="PostgreSQL is not installed")
ON_SQLITE = pytest.param((), id="sqlite", marks=pytest.mark.xdist_group("kills-sqlite"))
ON_POSTGRES = pytest.param(
    ("--postgres",),
    id="postgres",
    marks=[pytest.mark.xdist_group("kills-postgres"), NEEDS_POSTGRES],
)
pytestmark = pytest.mark.process


@pytest.fixture
def folder() -> Iterator[Path]:
    """A data folder that PostgreSQL's own user can reach."""
    with tempfile.TemporaryDirectory(prefix="codestream-kills-") as name:
        Path(name).chmod(0o711)
        yield Path(name)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("options", [ON_SQLITE, ON_POSTGRES])
def test_what_was_answered_runs_once_and_in_order(options: tuple[str, ...], folder: Path) -> None:
    seed = random.randrange(10**6)
    chance = random.Random(seed)
    with running_product(folder, *options) as product:
        hook = product.hook_url()
        answered = []
        for number in range(PUSHES):
            tag = f"1.2.{number}"
            if is_answered(hook, tag):
                answered.append(tag)
            kill_something(product, chance)
            time.sleep(chance.uniform(1, 2))
        runs = until(lambda: all_over(product, answered), seconds=120)

    assert len(answered) >= 2, f"seed {seed}: the kills left too little to look at"
    tags = [run["input"]["DOCKER_TAG"] for run in sorted(runs, key=lambda run: run["index"])]
    assert [tag for tag in tags if tag in answered] == answered, f"seed {seed}"
    assert len(set(tags)) == len(tags), f"seed {seed}: something ran twice"
    assert {run["status"] for run in runs} == {"COMPLETED"}, f"seed {seed}"


def kill_something(product: Running, chance: random.Random) -> None:
    """A worker, the web server, or, where there is one, the database server's clients."""
    word, number = chance.choice(
        [
            ("manage.py worker", signal.SIGKILL),
            ("manage.py worker", signal.SIGTERM),
            ("gunicorn", signal.SIGKILL),
            ("bin/postgres", signal.SIGINT),
        ]
    )
    victims = product.children(word)
    if victims:
        os.kill(chance.choice(victims), number)


def is_answered(hook: str, tag: str) -> bool:
    """Deliver a push as Docker Hub does, once; whether it was taken."""
    body = {
        "push_data": {"tag": tag, "pushed_at": 1_760_000_000, "pusher": "demo"},
        "repository": {
            "name": "web",
            "namespace": "demo",
            "owner": "demo",
            "repo_name": "demo/web",
            "status": "Active",
        },
    }
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(hook, data=json.dumps(body).encode(), headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def all_over(product: Running, tags: list[str]) -> list[dict[str, Any]] | None:
    """Every execution, once those of the tags are there and nothing is under way."""
    try:
        runs = list(product.api("executions?$top=100")["documents"].values())
    except OSError:
        return None
    seen = {run["input"]["DOCKER_TAG"] for run in runs}
    ended = all(run["status"] in {"COMPLETED", "FAILED", "CANCELED"} for run in runs)
    return runs if ended and seen.issuperset(tags) else None
