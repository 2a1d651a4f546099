"""The tools that ``benchmarks.beside`` compares: how each is started, and what it keeps of a push.

Each lives in a folder of its own and listens on loopback alone; all that is started ends with the
``with`` block.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psycopg

from benchmarks.bench import (
    END_SECONDS,
    READY_SECONDS,
    ROOT,
    BenchmarkError,
    free_port,
    product_at_hand,
    program,
    until,
    wait_for,
    web_server,
)
from benchmarks.client import Answer
from benchmarks.cluster import InstantCluster

Database = sqlite3.Connection | psycopg.Connection
COMMAND = """\
#!/bin/sh
printf . >> started
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What a tool is given: ``at_once`` builds run at the same time; no URL is SQLite.

    ``programs`` is the folder where its programs are; None searches PATH.
    """

    folder: Path
    database_url: str
    cluster: InstantCluster
    programs: str | None
    at_once: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A tool that takes pushes at its hook.

    ``lost`` tells how many of all the pushes that it answered left no trace, ``completed`` how many
    builds came to a good end so far.
    """

    hook: str
    lost: Callable[[Sequence[Answer]], int]
    completed: Callable[[], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """How to start a tool: each way once, in this order.

    ``at_work`` it builds what it is sent; ``accepting`` it does as little as it can.
    """

    about: str
    at_work: Callable[[], AbstractContextManager[Running]] | None
    accepting: Callable[[], AbstractContextManager[Running]]


@contextmanager
def codestream(setting: Setting) -> Iterator[Tool]:
    """The product as the other benchmarks start it; one database for both ways."""
    with (
        web_server(
            setting.folder,
            database_url=setting.database_url,
            OUTGOING_ALLOW=setting.cluster.place,
            WEB_PROCESSES="2",
        ) as server,
        product_at_hand(server.environment),
    ):
        from benchmarks import scene
        from executions.models import Execution

        (hook,) = scene.make_pipelines(setting.cluster.url, concurrency=setting.at_once)

        def lost(answers: Sequence[Answer]) -> int:
            stored = scene.stored_events()
            return sum(answer.event not in stored for answer in answers)

        @contextmanager
        def started(workers: int) -> Iterator[Running]:
            with scene.workers(server, workers):
                completed = Execution.objects.filter(status="COMPLETED").count
                yield Running(hook=hook, lost=lost, completed=completed)

        yield Tool(
            about=f"Codestream: 2 web processes, 1 worker, {setting.at_once} executions at once",
            at_work=partial(started, 1),
            accepting=partial(started, 0),
        )


@contextmanager
def buildbot(setting: Setting) -> Iterator[Tool]:
    """A master with ``buildbot.cfg`` and as many workers as builds are to run at once."""
    version = _output(_found("buildbot", setting.programs), "--version").splitlines()[0]
    yield Tool(
        about=f"{version}: one master, {setting.at_once} workers of one build at once",
        at_work=partial(_master, setting, builds=True),
        accepting=partial(_master, setting, builds=False),
    )


@contextmanager
def webhook(setting: Setting) -> Iterator[Tool]:
    """A server that stores nothing and starts a command, which gets image and tag of the push."""
    version = _output(_found("webhook", setting.programs), "-version").strip()
    yield Tool(
        about=f"{version}: stores nothing, a shell for each push",
        at_work=None,
        accepting=partial(_webhook_server, setting),
    )


TOOLS = {"buildbot": buildbot, "codestream": codestream, "webhook": webhook}


@contextmanager
def _master(setting: Setting, *, builds: bool) -> Iterator[Running]:
    command = _found("buildbot", setting.programs)
    folder = setting.folder / ("builds" if builds else "changes")
    environment = _buildbot_environment(setting, folder, builds=builds)
    config = ROOT / "benchmarks" / "buildbot.cfg"
    url = environment["BESIDE_DATABASE"]
    _output(command, "create-master", "--quiet", f"--config={config}", f"--db={url}", str(folder))
    with ExitStack() as stack:
        started = [command, "start", "--nodaemon", str(folder)]
        process = stack.enter_context(program(started, environment, folder / "start.log"))
        wait_for(int(environment["BESIDE_PORT"]), process, folder / "twistd.log")
        database = stack.enter_context(_database(setting.database_url, folder / "state.sqlite"))
        if builds:
            for number in range(setting.at_once):
                stack.enter_context(_worker(setting, folder, environment, number + 1))
            attached = partial(_number, database, "connected_workers")
            until(lambda: attached() == setting.at_once, READY_SECONDS)

        def lost(answers: Sequence[Answer]) -> int:
            stored = {revision for (revision,) in database.execute("SELECT revision FROM changes")}
            return sum(answer.tag not in stored for answer in answers)

        yield Running(
            hook=f"http://127.0.0.1:{environment['BESIDE_PORT']}/change_hook/dockerhub",
            lost=lost,
            completed=partial(_number, database, "builds WHERE results = 0"),
        )


def _buildbot_environment(setting: Setting, folder: Path, *, builds: bool) -> dict[str, str]:
    # The driver that Buildbot's manual names.
    url = setting.database_url.replace("postgres://", "postgresql+psycopg2://", 1)
    return {
        **os.environ,
        "BESIDE_BUILDS": "yes" if builds else "",
        "BESIDE_CLUSTER": setting.cluster.url,
        "BESIDE_DATABASE": url or f"sqlite:///{folder}/state.sqlite",
        "BESIDE_PORT": str(free_port()),
        "BESIDE_WORKERS": str(setting.at_once),
        "BESIDE_WORKER_PORT": str(free_port()),
    }


@contextmanager
def _database(url: str, file: Path) -> Iterator[Database]:
    if url:
        with psycopg.connect(url, autocommit=True) as connection:
            yield connection
    else:
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
            # Buildbot opens a connection for each question, and the last one to close writes back
            # SQLite's log. This one stays open, which makes Buildbot the faster.
            _number(database, "changes")
            yield database


@contextmanager
def _worker(
    setting: Setting, folder: Path, environment: Mapping[str, str], number: int
) -> Iterator[None]:
    command, place = _found("buildbot-worker", setting.programs), folder / f"worker-{number}"
    master = f"127.0.0.1:{environment['BESIDE_WORKER_PORT']}"
    _output(command, "create-worker", "--quiet", str(place), master, place.name, "benchmark")
    started = [command, "start", "--nodaemon", str(place)]
    with program(started, environment, place / "start.log"):
        yield


@contextmanager
def _webhook_server(setting: Setting) -> Iterator[Running]:
    port, folder = free_port(), setting.folder
    log, started = folder / "webhook.log", folder / "started"
    started.touch()
    script = folder / "command"
    script.write_text(COMMAND, encoding="utf-8")
    script.chmod(0o700)
    hook = {
        "id": "push",
        "execute-command": str(script),
        "command-working-directory": str(folder),
        "pass-arguments-to-command": [
            {"source": "payload", "name": "repository.repo_name"},
            {"source": "payload", "name": "push_data.tag"},
        ],
    }
    hooks = folder / "hooks.json"
    hooks.write_text(json.dumps([hook]), encoding="utf-8")
    command = [_found("webhook", setting.programs), "-ip", "127.0.0.1", "-port", str(port)]

    def lost(answers: Sequence[Answer]) -> int:
        number = len(answers)
        with suppress(BenchmarkError):
            until(lambda: started.stat().st_size >= number, END_SECONDS)
        return number - started.stat().st_size

    with program([*command, "-hooks", str(hooks)], os.environ, log) as process:
        wait_for(port, process, log)
        yield Running(hook=f"http://127.0.0.1:{port}/hooks/push", lost=lost, completed=int)


def _number(database: Database, rows: str) -> int:
    return sum(number for (number,) in database.execute(f"SELECT count(*) FROM {rows}"))


def _found(name: str, folder: str | None) -> str:
    found = shutil.which(name, path=folder)
    if found is None:
        raise BenchmarkError(f"There is no {name}; docs/benchmarks.md says how to get it.")
    return found


def _output(*command: str) -> str:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchmarkError(f"{' '.join(command)}: {done.stdout}{done.stderr}")
    return done.stdout
