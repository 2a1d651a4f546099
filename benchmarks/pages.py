"""How long the pages and lists take, with few and with many executions.

``python -m benchmarks.pages [--rows 1000000] [--database sqlite|postgres]``
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks.bench import (
    ROOT,
    BenchmarkError,
    WebServer,
    data_folder,
    database_named,
    describe_machine,
    environment_of,
    manage,
    percentile,
    print_table,
    web_server,
)

FEW = 1000
WARM_UP = 10
GOAL_MS = 50.0
LISTS = "/codestream/api"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is asked for, and as whom."""

    name: str
    path: str
    headers: Mapping[str, str]
    status: int = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Milliseconds from the request to the last byte of the answer."""

    p50: float
    p95: float
    p99: float


def main() -> int:
    """Measure both sizes, print the table, and return 1 where a page misses the goal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--requests", type=int, default=100, help="of each page")
    parser.add_argument("--database", choices=("sqlite", "postgres"), default="sqlite")
    chosen = parser.parse_args()
    few, machine = _measure(FEW, chosen.database, chosen.requests)
    many, _machine = _measure(chosen.rows, chosen.database, chosen.requests)
    print(
        f"\n{machine}\ngunicorn with deploy/gunicorn.py; "
        f"one client, {chosen.requests} requests each; load {os.getloadavg()[1]:.1f}\n"
        f"(with {FEW:,} rows a pipeline has five, and nothing is left after $skip=9900)"
    )
    head = [f"{FEW:,} rows: p50", "p95", f"{chosen.rows:,} rows: p50", "p95", "p99", "p50 / p50"]
    rows = [
        [name, few[name].p50, few[name].p95, took.p50, took.p95, took.p99, took.p50 / few[name].p50]
        for name, took in many.items()
    ]
    print_table(["ms", *head], rows)
    slow = [name for name, took in many.items() if took.p95 > GOAL_MS]
    print(f"\nOver {GOAL_MS:.0f} ms at p95: {', '.join(slow) or 'none'}")
    return 1 if slow else 0


def _measure(rows: int, database: str, requests: int) -> tuple[dict[str, Times], str]:
    with data_folder() as folder, database_named(database) as url:
        began = time.monotonic()
        filled = _filled(rows, folder, url)
        print(f"{rows:,} executions made in {time.monotonic() - began:.0f} s", flush=True)
        with web_server(folder, database_url=url, ALLOWED_HOSTS="127.0.0.1") as server:
            times = {
                request.name: _times(server, request, requests)
                for request in _requests(server, filled)
            }
        return times, describe_machine(url)


def _filled(rows: int, folder: Path, url: str) -> dict[str, Any]:
    environment = environment_of(folder, database_url=url)
    manage(environment, "migrate", "--verbosity=0")
    command = [sys.executable, "-m", "benchmarks.filling", str(rows)]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise BenchmarkError(done.stderr)
    filled: dict[str, Any] = json.loads(done.stdout)
    return filled


def _requests(server: WebServer, filled: dict[str, Any]) -> Iterator[Request]:
    for user, session in filled["sessions"].items():
        signed_in = {"Cookie": f"sessionid={session}"}
        for name, path in _pages(filled).items():
            yield Request(name=f"{user}: {name}", path=path, headers=signed_in)
        for name, path in (
            ("executions", "/executions/"),
            ("activity", "/triggers/docker/activity/"),
        ):
            yield _poll(server, f"{user}: {name}, nothing new", path, signed_in)
        token = {"Authorization": f"Bearer {filled['tokens'][user]}"}
        for name, path in _lists(filled).items():
            yield Request(name=f"{user}: {name}", path=path, headers=token)


def _pages(filled: dict[str, Any]) -> dict[str, str]:
    executions, activity = "/executions/", "/triggers/docker/activity/"
    pipeline = f"{executions}?pipeline={filled['pipeline']}"
    return {
        "executions": executions,
        "executions, the middle": f"{executions}?older={filled['middle']}",
        "executions, upwards": f"{executions}?newer={filled['middle']}",
        "executions, failed": f"{executions}?status=FAILED",
        "executions, waiting": f"{executions}?status=WAITING",
        "executions, a project": f"{executions}?project={filled['project']}",
        "executions, a quiet project": f"{executions}?project={filled['quiet_project']}",
        "executions, a pipeline": pipeline,
        "executions, a pipeline, failed": f"{pipeline}&status=FAILED",
        "executions, search": f"{executions}?q=web:1.2",
        "executions, search in vain": f"{executions}?q=absent",
        "an execution": f"{executions}{filled['execution']}/",
        "activity": activity,
        "activity, the middle": f"{activity}?older={filled['middle_event']}",
        "activity, ignored": f"{activity}?verdict=IGNORED",
        "activity, failed": f"{activity}?verdict=FAILED",
        "activity, a webhook": f"{activity}?webhook={filled['webhook']}",
        "activity, search in vain": f"{activity}?q=absent",
    }


def _lists(filled: dict[str, Any]) -> dict[str, str]:
    return {
        "API executions": f"{LISTS}/executions",
        "API executions, $skip=9900": f"{LISTS}/executions?$skip=9900",
        "API executions, the middle": f"{LISTS}/executions?$skiptoken={filled['middle']}",
        "API an execution": f"{LISTS}/executions/{filled['execution']}",
        "API registry-events": f"{LISTS}/registry-events",
        "API registry-events, the middle": (
            f"{LISTS}/registry-events?$skiptoken={filled['middle_event']}"
        ),
    }


def _poll(server: WebServer, name: str, path: str, headers: Mapping[str, str]) -> Request:
    """The request of a page that has seen it all, with the version that it was sent."""
    request = Request(name=name, path=path, headers=headers)
    with _connection(server) as client:
        text = _ask(client, request).decode()
    version = text.partition('hx-get="?version=')[2].partition('"')[0]
    htmx = {**headers, "HX-Request": "true"}
    return Request(name=name, path=f"{path}?version={version}", headers=htmx, status=204)


def _times(server: WebServer, request: Request, requests: int) -> Times:
    took = []
    with _connection(server) as client:
        for _ in range(WARM_UP):
            _ask(client, request)
        for _ in range(requests):
            began = time.perf_counter()
            _ask(client, request)
            took.append((time.perf_counter() - began) * 1000)
    p50, p95, p99 = (percentile(took, share) for share in (0.5, 0.95, 0.99))
    return Times(p50=p50, p95=p95, p99=p99)


@contextmanager
def _connection(server: WebServer) -> Iterator[http.client.HTTPConnection]:
    client = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=60)
    try:
        yield client
    finally:
        client.close()


def _ask(client: http.client.HTTPConnection, request: Request) -> bytes:
    client.request("GET", request.path, headers=dict(request.headers))
    answer = client.getresponse()
    body = answer.read()
    if answer.status != request.status:
        raise BenchmarkError(f"{request.name}: {answer.status} for {request.path}")
    return body


if __name__ == "__main__":
    sys.exit(main())
