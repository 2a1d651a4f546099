"""What every benchmark needs: the machine in one line, percentiles and tables, and the programs of
the product and a PostgreSQL cluster, which live as long as a ``with`` block.
"""

from __future__ import annotations

import math
import os
import platform
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import django
import psycopg
from django.db import connections

from codestream.local_postgres import LocalPostgres

ROOT = Path(__file__).resolve().parent.parent
READY_SECONDS = 60.0
END_SECONDS = 20.0
LOOK_SECONDS = 0.02
_GIB = 2**30
_OF_THE_PRODUCT = {
    *("DATABASE_URL", "DATA_DIR", "DEBUG", "ENCRYPTION_KEYS", "HINTS", "HOST", "LOOKUP_KEY"),
    *("METRICS_DIR", "OUTGOING_ALLOW", "PORT", "PUBLIC_URL", "SECRET_KEY"),
}


class BenchmarkError(Exception):
    """The machine lacks something, or what was started does not answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebServer:
    """A started web server; ``environment`` is what other programs of the product need."""

    url: str
    environment: dict[str, str]
    process: subprocess.Popen[bytes]
    log: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a process has taken of the machine so far."""

    cpu_seconds: float
    memory_mib: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Column:
    width: int
    numeric: bool


def describe_machine(database_url: str = "") -> str:
    """Return processor, cores, memory, versions and database in one line."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / _GIB
    return ", ".join(
        [
            _processor(),
            f"{os.cpu_count()} cores",
            f"{memory:.0f} GiB",
            f"{platform.system()} {platform.release()}",
            f"Python {platform.python_version()}",
            f"Django {django.get_version()}",
            describe_database(database_url),
        ]
    )


def describe_database(database_url: str = "") -> str:
    """Return name and version of the database; no URL is SQLite."""
    if not database_url:
        return f"SQLite {sqlite3.sqlite_version}"
    with psycopg.connect(database_url) as connection:
        number = connection.info.server_version
    return f"PostgreSQL {number // 10_000}.{number % 10_000}"


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least ``share`` (0 to 1) of the values do not exceed."""
    if not values:
        raise ValueError("There is no percentile of nothing.")
    ordered = sorted(values)
    return ordered[max(math.ceil(share * len(ordered)), 1) - 1]


def print_table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print the rows as a Markdown table, numbers to the right."""
    texts = [[_cell(value) for value in row] for row in rows]
    columns = [
        _Column(width=max(map(len, column)), numeric=bool(rows) and _is_number(rows[0][place]))
        for place, column in enumerate(zip(head, *texts, strict=True))
    ]
    rule = "|".join("-" * (each.width + 1) + ("-:"[each.numeric]) for each in columns)
    print(_line(head, columns), f"|{rule}|", sep="\n")
    for row in texts:
        print(_line(row, columns))
    sys.stdout.flush()


@contextmanager
def data_folder() -> Iterator[Path]:
    """A folder for DATA_DIR, removed in the end."""
    with tempfile.TemporaryDirectory(prefix="codestream-benchmark-") as folder:
        yield Path(folder)


def environment_of(data_dir: Path, *, database_url: str = "", **settings: str) -> dict[str, str]:
    """Return the environment of the product's programs for this folder and database.

    What the caller's own environment says about the product is left out; ``settings`` add to it.
    """
    kept = {name: value for name, value in os.environ.items() if name not in _OF_THE_PRODUCT}
    database = {"DATABASE_URL": database_url} if database_url else {}
    named = {"DATA_DIR": str(data_dir), "DJANGO_SETTINGS_MODULE": "codestream.settings"}
    return {**kept, **named, **database, **settings}


def manage(environment: Mapping[str, str], *arguments: str) -> str:
    """Run ``manage.py`` and return what it printed."""
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=dict(environment),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise BenchmarkError(f"manage.py {arguments[0]}: {done.stdout}{done.stderr}")
    return done.stdout


@contextmanager
def web_server(data_dir: Path, *, database_url: str = "", **settings: str) -> Iterator[WebServer]:
    """gunicorn with ``deploy/gunicorn.py`` on a free port, over a migrated database."""
    environment = environment_of(data_dir, database_url=database_url, **_address(), **settings)
    manage(environment, "migrate", "--verbosity=0")
    with _gunicorn(environment, data_dir / "web.log") as server:
        yield server


@contextmanager
def web_server_like(server: WebServer, *, settings_module: str) -> Iterator[WebServer]:
    """A second gunicorn beside the first, alike in everything but the settings module."""
    other = {**server.environment, **_address(), "DJANGO_SETTINGS_MODULE": settings_module}
    with _gunicorn(other, server.log.with_name(f"{settings_module}.log")) as second:
        yield second


@contextmanager
def product_at_hand(environment: Mapping[str, str]) -> Iterator[None]:
    """Let this process use the product's models, once, for the database of the environment."""
    os.environ.update(environment)
    django.setup()
    try:
        yield
    finally:
        for connection in connections.all(initialized_only=True):
            connection.close()
            if hasattr(connection, "close_pool"):
                connection.close_pool()


def usage_of(pid: int) -> Usage:
    """Return what a living process has used: processor time and resident memory."""
    fields = _fields_of(pid)
    ticks = int(fields[11]) + int(fields[12])
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="utf-8").split()[1])
    return Usage(
        cpu_seconds=ticks / os.sysconf("SC_CLK_TCK"),
        memory_mib=pages * os.sysconf("SC_PAGE_SIZE") / 2**20,
    )


def processor_seconds() -> float:
    """Return the processor time of all programs that this one started, and of those they ended."""
    parents, used = {}, {}
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(FileNotFoundError, ProcessLookupError):
            fields = _fields_of(int(entry.name))
            parents[int(entry.name)] = int(fields[1])
            used[int(entry.name)] = sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    found, ours = {os.getpid()}, set[int]()
    while found:
        found = {pid for pid, parent in parents.items() if parent in found}
        ours |= found
    return sum(used[pid] for pid in ours)


@contextmanager
def program(
    command: Sequence[str], environment: Mapping[str, str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """A program of the product that is asked to end in the end; its output goes to the log."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=dict(environment), stdout=output, stderr=output
        )
    try:
        yield process
    finally:
        end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """Ask a program to end, and insist after a while."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until a started server listens; raise BenchmarkError with its log when it does not."""
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise BenchmarkError(f"A server does not answer: {log.read_text(encoding='utf-8')}")


def until(happened: Callable[[], bool], seconds: float) -> None:
    """Wait until it happened; raise BenchmarkError when it does not."""
    deadline = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > deadline:
            raise BenchmarkError(f"Nothing came of it in {seconds:.0f} s: see the logs.")
        time.sleep(LOOK_SECONDS)


@contextmanager
def database_named(name: str) -> Iterator[str]:
    """The URL of a database of this kind, ``sqlite`` or ``postgres``; SQLite's is empty."""
    if name == "sqlite":
        yield ""
    else:
        with data_folder() as folder:
            # The server's own user has to reach it.
            folder.chmod(0o711)
            with LocalPostgres(data_dir=folder, port=free_port()).running() as url:
                yield url


def free_port() -> int:
    """Return a port of loopback on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _fields_of(pid: int) -> list[str]:
    # The name in parentheses may hold blanks. The state comes first, then the parent; utime, stime
    # and those of the children that were waited for are the 12th to the 15th.
    return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return next(iter(names), platform.machine())


def _address() -> dict[str, str]:
    port = str(free_port())
    return {"HOST": "127.0.0.1", "PORT": port, "PUBLIC_URL": f"http://127.0.0.1:{port}"}


@contextmanager
def _gunicorn(environment: dict[str, str], log: Path) -> Iterator[WebServer]:
    command = [sys.executable, "-m", "gunicorn", "-c", "deploy/gunicorn.py", "codestream.wsgi"]
    with program(command, environment, log) as process:
        wait_for(int(environment["PORT"]), process, log)
        yield WebServer(
            url=environment["PUBLIC_URL"], environment=environment, process=process, log=log
        )


def _line(cells: Sequence[str], columns: Sequence[_Column]) -> str:
    aligned = [
        cell.rjust(column.width) if column.numeric else cell.ljust(column.width)
        for cell, column in zip(cells, columns, strict=True)
    ]
    return f"| {' | '.join(aligned)} |"


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.1f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float))
