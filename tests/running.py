"""The whole product as `make run` starts it, on free ports and in a throw-away data folder."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import psycopg

from codestream.local_postgres import LocalPostgres
from codestream.sandbox.places import Places, load_places

ROOT = Path(__file__).resolve().parents[1]
PASSWORD = "a-password-typed-by-hand"
ISSUE_TOKEN = """
from codestream.accounts.models import User
from codestream.accounts.services import issue_token
print(issue_token(owner=User.objects.get(username="admin"), name="test")[1])
"""
Found = TypeVar("Found")


@dataclass(slots=True, kw_only=True)
class Running:
    """A started product, and the environment it was started in. ``token`` is an API token of its
    administrator; ``process`` another one after every start.
    """

    url: str
    data_dir: Path
    places: Places
    environment: dict[str, str]
    options: tuple[str, ...]
    process: subprocess.Popen[str]
    token: str

    def push(self, tag: str, image: str = "demo/web") -> None:
        namespace, repository = image.split("/")
        body = {"namespace": namespace, "repository": repository, "tag": tag}
        ask(f"{self.places.dockerhub_url}/_control/push", body)

    def api(self, path: str) -> Any:
        return ask(f"{self.url}/codestream/api/{path}", token=self.token)

    def execution_of(self, tag: str) -> dict[str, Any] | None:
        documents = self.api("executions")["documents"].values()
        return next((row for row in documents if row["input"]["DOCKER_TAG"] == tag), None)

    def ended(self, tag: str) -> dict[str, Any]:
        """Wait for the end of the execution that the push of this tag started."""

        def look() -> dict[str, Any] | None:
            row = self.execution_of(tag)
            return row if row and row["status"] in {"COMPLETED", "FAILED", "CANCELED"} else None

        return until(look)

    def deployment(self) -> Any:
        url = f"{self.places.kubernetes_url}/apis/apps/v1/namespaces/demo/deployments/web"
        return ask(url, token=self.places.kubernetes_token)

    def deployed_image(self) -> str:
        return str(self.deployment()["spec"]["template"]["spec"]["containers"][0]["image"])

    def kill(self, word: str) -> None:
        """End a child whose command line holds the word, the hard way."""
        found = self.children(word)
        assert found, f"no child runs {word}"
        os.kill(found[0], signal.SIGKILL)

    def children(self, word: str) -> list[int]:
        """The processes below whose command line holds the word, a parent before its children."""
        return [pid for pid in _descendants(self.process.pid) if word in _command_line(pid)]

    def start_again(self) -> None:
        """End the supervisor the hard way, as a crash would, and start everything anew."""
        self.kill_all()
        self.start()

    def kill_all(self) -> None:
        """End the supervisor the hard way, and with it everything."""
        self.process.kill()
        self._wait()

    def start(self) -> None:
        """Start everything anew after its end."""
        self.process = _start(self.environment, self.options)

    def end(self) -> None:
        """End it like Ctrl-C does."""
        self.process.send_signal(signal.SIGINT)
        self._wait()

    def _wait(self) -> None:
        self.process.wait(60)
        if self.process.stdout is not None:
            self.process.stdout.close()

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """What the database answers to somebody who only reads."""
        if url := self.environment.get("DATABASE_URL"):
            with psycopg.connect(url) as server:
                return server.execute(sql.encode()).fetchall()
        file = f"file:{self.data_dir}/codestream.sqlite3?mode=ro"
        with closing(sqlite3.connect(file, uri=True, timeout=10)) as database:
            return database.execute(sql).fetchall()

    def hook_url(self) -> str:
        """The address that the local Docker Hub calls, with its secret, as soon as a worker has put
        it there.
        """
        return until(self._hook_urls)[0]

    def _hook_urls(self) -> list[str]:
        state = (self.data_dir / "sandbox" / "dockerhub.json").read_text()
        return re.findall(r'"(http[^"]*secureToken=[^"]+)"', state)


@contextmanager
def running_product(data_dir: Path, *options: str, **settings: str) -> Iterator[Running]:
    """Start everything with these settings, wait until it answers, and end it like Ctrl-C does."""
    with _ports_of_its_own(4) as port:
        yield from _running_product(data_dir, port, options, settings)


def _running_product(
    data_dir: Path, port: int, options: tuple[str, ...], settings: dict[str, str]
) -> Iterator[Running]:
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("COV_")},
        "PORT": str(port),
        "HOST": "127.0.0.1",
        "DATA_DIR": str(data_dir),
        "DEMO_PASSWORD": PASSWORD,
        "PUBLIC_URL": f"http://127.0.0.1:{port}",
        "DJANGO_SETTINGS_MODULE": "codestream.settings",
        **settings,
    }
    process = _start(environment, options)
    try:
        own = dict(environment)
        if "--postgres" in options:
            own["DATABASE_URL"] = LocalPostgres(data_dir=data_dir, port=port + 3).url
        running = Running(
            url=f"http://127.0.0.1:{port}",
            data_dir=data_dir,
            places=load_places(data_dir, first_port=0),
            environment=own,
            options=options,
            process=process,
            token=run_in_shell(own, ISSUE_TOKEN),
        )
    except BaseException:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        raise
    try:
        yield running
    finally:
        running.end()


def run_in_shell(environment: dict[str, str], code: str) -> str:
    """Run code as ``manage.py shell`` does and return what it prints."""
    command = [sys.executable, "manage.py", "shell", "--no-imports", "-c", code]
    made = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    return made.stdout.strip()


def until(look: Callable[[], Found | None], seconds: float = 100) -> Found:
    """Look until there is something to see; the limit only ends a test that has failed."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError("it did not happen")


def ask(url: str, body: Mapping[str, object] | None = None, *, token: str = "") -> Any:
    """Send JSON, or nothing, and return the JSON answer."""
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers=headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        text = answer.read()
        return json.loads(text) if text else None


def _start(environment: dict[str, str], options: tuple[str, ...]) -> subprocess.Popen[str]:
    """Start the supervisor and wait until it says that everything runs."""
    process = subprocess.Popen(
        [sys.executable, "-m", "codestream.supervisor", *options],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    heard = []
    for line in process.stdout:
        heard.append(line)
        if "Logs are in" in line:
            return process
    process.wait(60)
    process.stdout.close()
    raise AssertionError("".join(heard))


def _descendants(pid: int) -> list[int]:
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    children = [int(each) for each in text.split()]
    return children + [below for child in children for below in _descendants(child)]


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


@contextmanager
def _ports_of_its_own(number: int) -> Iterator[int]:
    """Keep a port and its followers for one product, and give the first. They are below those that
    the kernel gives to clients: one may take a port in the moment in which nobody listens there.

    Whoever else looks for ports passes these over, also while nobody listens on them yet.
    """
    first, last = 20000, 32768 - number
    start = os.getpid() * number % (last - first)
    for port in (first + (start + each) % (last - first) for each in range(0, last, number)):
        with socket.socket(socket.AF_UNIX) as mark:
            try:
                mark.bind(f"\0codestream-tests-{port // number}")
                for offset in range(number):
                    with socket.socket() as probe:
                        probe.bind(("127.0.0.1", port + offset))
            except OSError:
                continue
            yield port
            return
    raise AssertionError("no free ports")
