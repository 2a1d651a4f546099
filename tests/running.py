"""The whole product as `make run` starts it, on free ports and in a throw-away data folder."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from codestream.local_postgres import LocalPostgres
from codestream.sandbox.places import Places, load_places

ROOT = Path(__file__).resolve().parents[1]
PASSWORD = "a-password-typed-by-hand"
Found = TypeVar("Found")


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A started product. ``token`` is an API token of its administrator."""

    url: str
    data_dir: Path
    places: Places
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

    def deployed_image(self) -> str:
        url = f"{self.places.kubernetes_url}/apis/apps/v1/namespaces/demo/deployments/web"
        body = ask(url, token=self.places.kubernetes_token)
        return str(body["spec"]["template"]["spec"]["containers"][0]["image"])

    def kill(self, word: str) -> None:
        """End a child whose command line holds the word, the hard way."""
        found = self.children(word)
        assert found, f"no child runs {word}"
        os.kill(found[0], signal.SIGKILL)

    def children(self, word: str) -> list[int]:
        """The processes whose command line holds the word."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [pid for pid in map(int, children.split()) if word in _command_line(pid)]

    def hook_url(self) -> str:
        """The address that the local Docker Hub calls, with its secret."""
        state = (self.data_dir / "sandbox" / "dockerhub.json").read_text()
        found = re.search(r'"(http[^"]*secureToken=[^"]+)"', state)
        assert found, "the local Docker Hub has no hook"
        return found[1]


@contextmanager
def running_product(data_dir: Path, *options: str) -> Iterator[Running]:
    """Start everything, wait until it answers, and end it like Ctrl-C does."""
    port = _free_ports(4)
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("COV_")},
        "PORT": str(port),
        "HOST": "127.0.0.1",
        "DATA_DIR": str(data_dir),
        "DEMO_PASSWORD": PASSWORD,
        "PUBLIC_URL": f"http://127.0.0.1:{port}",
        "DJANGO_SETTINGS_MODULE": "codestream.settings",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "codestream.supervisor", *options],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert process.stdout is not None
        heard = []
        for line in process.stdout:
            heard.append(line)
            if "Logs are in" in line:
                break
        else:
            raise AssertionError("".join(heard))
        if "--postgres" in options:
            environment["DATABASE_URL"] = LocalPostgres(data_dir=data_dir, port=port + 3).url
        token = _issue_token(environment)
        yield Running(
            url=f"http://127.0.0.1:{port}",
            data_dir=data_dir,
            places=load_places(data_dir, first_port=0),
            process=process,
            token=token,
        )
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(20)
        if process.stdout is not None:
            process.stdout.close()


def until(look: Callable[[], Found | None], seconds: float = 40) -> Found:
    """Look until there is something to see; the limit only ends a test that has failed."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError("it did not happen")


def ask(url: str, body: dict[str, str] | None = None, *, token: str = "") -> Any:
    """Send JSON, or nothing, and return the JSON answer."""
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers=headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        text = answer.read()
        return json.loads(text) if text else None


def _issue_token(environment: dict[str, str]) -> str:
    code = (
        "from codestream.accounts.models import User;"
        "from codestream.accounts.services import issue_token;"
        "print(issue_token(owner=User.objects.get(username='admin'), name='test')[1])"
    )
    command = [sys.executable, "manage.py", "shell", "--no-imports", "-c", code]
    made = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    return made.stdout.strip()


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def _free_ports(number: int) -> int:
    """Find a port whose followers are free as well."""
    for port in range(20000 + os.getpid() % 5000 * number, 60000, number):
        try:
            for offset in range(number):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port + offset))
        except OSError:
            continue
        return port
    raise AssertionError("no free ports")
