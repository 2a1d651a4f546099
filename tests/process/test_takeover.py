"""A worker ends in the middle of a step, the hard way or when asked to: another one goes on."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID

import psycopg
import pytest

from tests.process.databases import ON_POSTGRES, ON_SQLITE, folder_for_all
from tests.running import ROOT, Running, running_product, until

pytestmark = pytest.mark.process
HOLDERS = """
    SELECT worker.pid, worker.id FROM executions_taskrun task
    JOIN executions_worker worker ON worker.id = task.lease_owner
"""
FREEZE = """
import os, signal
from executions.models import Execution
from executions.run import locked
with locked(Execution.objects.first()):
    os.kill(os.getpid(), signal.SIGSTOP)
"""


@pytest.fixture(scope="module", params=[ON_SQLITE, ON_POSTGRES])
def product(request: pytest.FixtureRequest) -> Iterator[Running]:
    with folder_for_all() as folder, running_product(folder, *request.param) as running:
        yield running


@contextmanager
def silent_cluster(product: Running) -> Iterator[None]:
    """The cluster answers nothing for a while, which holds a step in its middle."""
    cluster = product.children("sandbox.kubernetes")[0]
    os.kill(cluster, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(cluster, signal.SIGCONT)


def holder(product: Running) -> tuple[int, UUID] | None:
    """Process and key of the worker that has a task in its hands."""
    found = product.rows(HOLDERS)
    return (found[0][0], UUID(str(found[0][1]))) if found else None


def another_holder(product: Running, than: int) -> Callable[[], bool]:
    def look() -> bool:
        found = holder(product)
        return found is not None and found[0] != than

    return look


def workers(product: Running) -> set[UUID]:
    return {UUID(str(key)) for (key,) in product.rows("SELECT id FROM executions_worker")}


def owners(product: Running) -> set[UUID]:
    rows = product.rows("SELECT lease_owner FROM executions_taskrun WHERE lease_owner IS NOT NULL")
    return {UUID(str(key)) for (key,) in rows}


@pytest.mark.timeout(400)
def test_the_step_of_a_killed_worker_is_taken_over(product: Running) -> None:
    with silent_cluster(product):
        product.push("3.0.0")
        pid, _ = until(lambda: holder(product))
        os.kill(pid, signal.SIGKILL)
        killed = time.monotonic()
        until(another_holder(product, pid))
        print(f"taken over after {time.monotonic() - killed:.1f} s")

    run = product.ended("3.0.0")
    assert run["status"] == "COMPLETED"
    assert product.deployed_image() == "demo/web:3.0.0"


@pytest.mark.timeout(400)
def test_a_worker_that_is_asked_to_end_hands_over(product: Running) -> None:
    with silent_cluster(product):
        product.push("3.1.0")
        pid, key = until(lambda: holder(product))
        os.kill(pid, signal.SIGTERM)
        asked = time.monotonic()
        until(lambda: not Path(f"/proc/{pid}").exists())
        print(f"ended after {time.monotonic() - asked:.1f} s")
        assert key not in workers(product)
        assert key not in owners(product)
        until(another_holder(product, pid))
        print(f"handed over after {time.monotonic() - asked:.1f} s")

    run = product.ended("3.1.0")
    assert run["status"] == "COMPLETED"
    assert product.deployed_image() == "demo/web:3.1.0"


@pytest.mark.timeout(400)
def test_a_process_that_froze_in_a_transaction_gives_its_locks_back(product: Running) -> None:
    if "DATABASE_URL" not in product.environment:
        pytest.skip("The lock of a SQLite file lasts as long as its holder.")
    product.push("3.2.0")
    product.ended("3.2.0")
    command = [sys.executable, "manage.py", "shell", "--no-imports", "-c", FREEZE]
    frozen = subprocess.Popen(command, cwd=ROOT, env=product.environment)
    try:
        until(lambda: _is_stopped(frozen.pid))
        product.push("3.2.1")
        run = product.ended("3.2.1")
        assert frozen.poll() is None
    finally:
        frozen.kill()
        frozen.wait()

    assert run["status"] == "COMPLETED"
    assert product.rows("SELECT count(*) FROM webhooks_registryevent WHERE epoch > 1") == [(0,)]


@pytest.mark.timeout(400)
def test_a_worker_ends_although_the_database_says_nothing(product: Running) -> None:
    if "DATABASE_URL" not in product.environment:
        pytest.skip("A file does not keep silent.")
    pid = product.children("manage.py worker")[0]
    servers = product.children("postgres")
    for each in servers:
        os.kill(each, signal.SIGSTOP)
    try:
        os.kill(pid, signal.SIGTERM)
        asked = time.monotonic()
        until(lambda: not Path(f"/proc/{pid}").exists())
        print(f"ended after {time.monotonic() - asked:.1f} s")
    finally:
        for each in reversed(servers):
            os.kill(each, signal.SIGCONT)

    product.push("3.3.0")
    assert product.ended("3.3.0")["status"] == "COMPLETED"


def _is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def test_a_worker_begins_though_the_web_server_that_was_killed_still_holds_its_port(
    product: Running,
) -> None:
    known = workers(product)
    product.kill_all()
    with until(partial(held, product.url)):
        starting = threading.Thread(target=product.start)
        starting.start()
        until(lambda: new_workers(product, known))

    starting.join()
    assert "documents" in product.api("executions")


def held(url: str) -> socket.socket | None:
    """The port of the web server, as soon as it is free."""
    place = urlsplit(url)
    with suppress(OSError):
        return socket.create_server((str(place.hostname), place.port or 0))
    return None


def new_workers(product: Running, known: set[UUID]) -> set[UUID]:
    """Those that have begun since; none while the database starts."""
    with suppress(psycopg.OperationalError, sqlite3.OperationalError):
        return workers(product) - known
    return set()
