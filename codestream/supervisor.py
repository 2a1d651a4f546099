"""``make run``: prepares the data folder, starts web, worker and stand-ins, starts again what dies.
``make run-postgres`` (``--postgres``) does the same on a PostgreSQL server of its own.

One process group: Ctrl-C or SIGTERM ends all of it. If this process itself is killed, the kernel
ends its children, so nothing is left holding a port.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import FrameType
from urllib.parse import urlsplit

from codestream.local_postgres import LocalPostgres, PostgresError, system_user

ROOT = Path(__file__).resolve().parent.parent
PR_SET_PDEATHSIG = 1
READY_SECONDS = 120.0
HOOK_SECONDS = 10.0
END_SECONDS = 8.0
PAUSES = (0.2, 0.5, 1.0, 2.0, 5.0)
LOOK_SECONDS = 0.1
STEADY_SECONDS = 5.0
"""Who ran for so long had started well, and is started again at once: others wait for it."""
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


@dataclass(slots=True, kw_only=True)
class Child:
    """One program to keep running; its output goes to a log file of its own."""

    name: str
    command: list[str]
    log: Path
    environment: dict[str, str]
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    failures: int = 0
    restart_at: float = field(default=0.0)
    user: str = ""
    stop_signal: signal.Signals = signal.SIGTERM

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                cwd="/" if self.user else ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=self.user or None,
                group=self.user or None,
                extra_groups=[] if self.user else None,
                preexec_fn=partial(  # noqa: PLW1509 - no threads here
                    die_with, os.getpid(), self.stop_signal
                ),
            )
        self.started = time.monotonic()

    def look(self) -> None:
        """Start the program again when it is gone, later and later if it does not stay."""
        if self.process is not None and self.process.poll() is not None:
            steady = time.monotonic() - self.started > STEADY_SECONDS
            self.failures = 0 if steady else self.failures + 1
            pause = PAUSES[min(self.failures, len(PAUSES)) - 1] if self.failures else PAUSES[0]
            _say(f"{self.name} ended ({self.process.returncode}); it is started again.")
            self.process, self.restart_at = None, time.monotonic() + pause
        if self.process is None and time.monotonic() >= self.restart_at:
            self.start()


class Supervisor:
    """Keeps the children running until it is told to stop. ``ground`` is what the others stand on:
    it ends last.
    """

    def __init__(self, children: list[Child], *, ground: list[Child]) -> None:
        self.children = [*ground, *children]
        self.ground = ground
        self.stopping = False

    def stop(self, _number: int = 0, _frame: FrameType | None = None) -> None:
        self.stopping = True

    def start(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.stop)
        for child in self.children:
            child.start()

    def add(self, children: list[Child]) -> None:
        """Start more children, unless it is to stop."""
        if self.stopping:
            return
        for child in children:
            child.start()
        self.children += children

    def watch(self, *, until: Callable[[], bool] = lambda: False) -> None:
        """Look after the children until it is to stop, or something else has come about."""
        while not self.stopping and not until():
            for child in self.children:
                child.look()
            time.sleep(LOOK_SECONDS)

    def end(self) -> None:
        """Ask the children to end, and insist."""
        _end([child for child in self.children if child not in self.ground])
        _end(self.ground)


def _end(children: list[Child]) -> None:
    running = [(child.process, child.stop_signal) for child in children if child.process]
    for process, stop_signal in running:
        process.send_signal(stop_signal)
    deadline = time.monotonic() + END_SECONDS
    for process, _stop_signal in running:
        try:
            process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def main(*, on_postgres: bool = False) -> int:
    """Run until stopped; return the exit code."""
    host, port = os.environ.get("HOST", "127.0.0.1"), int(os.environ.get("PORT", "8000"))
    data_dir = Path(os.environ.get("DATA_DIR", str(ROOT / "data"))).resolve()
    logs = data_dir / "logs"
    os.umask(0o077)
    logs.mkdir(parents=True, exist_ok=True)
    environment = _environment(host, port, data_dir)
    stand_ins = _stand_ins(port, data_dir, logs, environment)
    places = _ports(environment) if stand_ins else []
    if on_postgres:
        places.append(("127.0.0.1", _postgres_port(port)))
    # That of the web server is waited for later: one that was killed ends its requests first.
    if problem := _conflict([(host, port), *places]) or _wait_for_ports(places):
        return _fail(problem)
    postgres = LocalPostgres(data_dir=data_dir, port=_postgres_port(port)) if on_postgres else None
    is_first = postgres.is_new if postgres else not (data_dir / "codestream.sqlite3").exists()
    try:
        database = [_database(postgres, logs, environment)] if postgres else []
    except PostgresError as error:
        return _fail(str(error))
    web, first, *others = _own(logs, environment)
    # What a killed worker held waits for one: it is loaded first, and begins as soon as it can.
    supervisor = Supervisor([*stand_ins, first], ground=database)
    supervisor.start()
    try:
        if postgres and not _wait_for_postgres(postgres, supervisor):
            return _fail(f"PostgreSQL does not answer; see {logs / 'postgres.log'}")
        is_prepared = supervisor.stopping or _prepare(environment, supervisor)
        if not is_prepared and not supervisor.stopping:
            return _fail("The data folder could not be prepared; see above.")
        if problem := _wait_for_web_port(host, port, supervisor):
            return _fail(problem)
        supervisor.add([web, *others])
        if not _wait_for(host, port, supervisor):
            return _fail(f"The web server does not answer; see {logs / 'web.log'}")
        if stand_ins:
            _wait_for_hook(environment, HOOK_SECONDS if is_first else HOOK_SECONDS / 4, supervisor)
        if not supervisor.stopping:
            _say(_greeting(host, port, environment, bool(stand_ins)))
        supervisor.watch()
    finally:
        supervisor.end()
    _say("Stopped. The data is kept.")
    return 0


def _wait_for_postgres(postgres: LocalPostgres, supervisor: Supervisor) -> bool:
    """Wait until it answers, and start it again when it ends before: the server of a supervisor
    that was killed may hold the data folder a moment longer than its port.
    """
    deadline = time.monotonic() + READY_SECONDS
    supervisor.watch(until=lambda: postgres.answers() or time.monotonic() > deadline)
    return supervisor.stopping or time.monotonic() <= deadline


def _prepare(environment: dict[str, str], supervisor: Supervisor) -> bool:
    """Bring the database up to date. That ends with us: it would disturb the next one."""
    preparing = subprocess.Popen(
        [sys.executable, "manage.py", "prepare"],
        cwd=ROOT,
        env=environment,
        preexec_fn=partial(  # noqa: PLW1509 - no threads here
            die_with, os.getpid(), signal.SIGKILL
        ),
    )
    supervisor.watch(until=lambda: preparing.poll() is not None)
    if supervisor.stopping:
        preparing.terminate()
    return preparing.wait() == 0


def _environment(host: str, port: int, data_dir: Path) -> dict[str, str]:
    reached = "127.0.0.1" if host in {"0.0.0.0", "::", ""} else host  # noqa: S104
    return {
        "PUBLIC_URL": f"http://{reached}:{port}",
        **os.environ,
        "HOST": host,
        "PORT": str(port),
        "DATA_DIR": str(data_dir),
        "DJANGO_SETTINGS_MODULE": "codestream.settings",
        "PYTHONUNBUFFERED": "1",
    }


def _stand_ins(port: int, data_dir: Path, logs: Path, environment: dict[str, str]) -> list[Child]:
    """Return the stand-ins and tell the environment where they are; none without their folder."""
    if importlib.util.find_spec("codestream.sandbox") is None:
        return []
    places = importlib.import_module("codestream.sandbox.places").load_places(
        data_dir, first_port=port + 1
    )
    opened = f"127.0.0.1:{places.dockerhub_port},127.0.0.1:{places.kubernetes_port}"
    allowed = environment.get("OUTGOING_ALLOW", "")
    environment |= {
        "OUTGOING_ALLOW": f"{allowed},{opened}" if allowed else opened,
        "DOCKER_HUB_STAND_INS": places.dockerhub_url,
        "SANDBOX_DOCKERHUB_URL": places.dockerhub_url,
        "SANDBOX_DOCKERHUB_USER": places.dockerhub_user,
        "SANDBOX_DOCKERHUB_PASSWORD": places.dockerhub_password,
        "SANDBOX_KUBERNETES_URL": places.kubernetes_url,
        "SANDBOX_KUBERNETES_TOKEN": places.kubernetes_token,
    }
    state = data_dir / "sandbox"
    arguments = {
        "dockerhub": [str(places.dockerhub_port), "--repository", "demo/web"],
        "kubernetes": [str(places.kubernetes_port)],
    }
    return [
        _child(
            name,
            [f"codestream.sandbox.{name}", "--state", str(state / f"{name}.json"), "--port", *rest],
            logs,
            environment,
        )
        for name, rest in arguments.items()
    ]


def _postgres_port(port: int) -> int:
    return int(os.environ.get("POSTGRES_PORT", str(port + 3)))


def _database(postgres: LocalPostgres, logs: Path, environment: dict[str, str]) -> Child:
    """Return the server as a child, and let all others use it, with more processes."""
    postgres.prepare()
    environment["DATABASE_URL"] = postgres.url
    environment.setdefault("WORKERS", "3")
    return Child(
        name="postgres",
        command=postgres.command(),
        log=logs / "postgres.log",
        environment={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C.UTF-8"},
        user=system_user(),
        stop_signal=signal.SIGINT,
    )


def _own(logs: Path, environment: dict[str, str]) -> list[Child]:
    # The stand-ins' passwords are none of the web server's and the worker's business.
    own = {k: v for k, v in environment.items() if not k.startswith("SANDBOX_")}
    python = [sys.executable]
    gunicorn = ["gunicorn", "-c", "deploy/gunicorn.py", "codestream.wsgi"]
    return [
        _child("web", gunicorn, logs, own),
        *(
            Child(
                name=name,
                command=[*python, "manage.py", "worker"],
                log=logs / f"{name}.log",
                environment=own,
            )
            for name in _worker_names(int(own.get("WORKERS", "1")))
        ),
    ]


def _worker_names(number: int) -> list[str]:
    return ["worker"] if number == 1 else [f"worker-{each + 1}" for each in range(number)]


def _child(name: str, module: list[str], logs: Path, environment: dict[str, str]) -> Child:
    command = [sys.executable, "-m", *module]
    return Child(name=name, command=command, log=logs / f"{name}.log", environment=environment)


def _ports(environment: dict[str, str]) -> list[tuple[str, int]]:
    urls = [environment["SANDBOX_DOCKERHUB_URL"], environment["SANDBOX_KUBERNETES_URL"]]
    return [("127.0.0.1", urlsplit(url).port or 0) for url in urls]


def _conflict(places: list[tuple[str, int]]) -> str:
    ports = [port for _, port in places]
    if len(set(ports)) == len(ports):
        return ""
    return (
        f"PORT={ports[0]} is where a stand-in of this data folder listens "
        f"({', '.join(map(str, ports[1:]))}). Choose another PORT."
    )


def _wait_for_ports(places: list[tuple[str, int]]) -> str:
    """Return why a port cannot be used, after giving what ran before a moment to let go of it."""
    deadline = time.monotonic() + END_SECONDS
    while True:
        problem = next(filter(None, (_taken(*place) for place in places)), "")
        if not problem or time.monotonic() > deadline:
            return problem
        time.sleep(0.2)


def _wait_for_web_port(host: str, port: int, supervisor: Supervisor) -> str:
    """The same for the web server, while the children run that need not wait for it."""
    deadline = time.monotonic() + END_SECONDS
    supervisor.watch(until=lambda: not _taken(host, port) or time.monotonic() > deadline)
    return "" if supervisor.stopping else _taken(host, port)


def _taken(host: str, port: int) -> str:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return (
                f"{host}:{port} cannot be used: {error.strerror}. "
                "End what uses it, or choose another with PORT=... (and another DATA_DIR=... "
                "to run two side by side)."
            )
    return ""


def _wait_for(host: str, port: int, supervisor: Supervisor) -> bool:
    reached = "127.0.0.1" if host in {"0.0.0.0", ""} else host  # noqa: S104
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and not supervisor.stopping:
        try:
            socket.create_connection((reached, port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return True
    return supervisor.stopping


def _wait_for_hook(environment: dict[str, str], seconds: float, supervisor: Supervisor) -> None:
    """Wait until a webhook of this server stands in the stand-in: an earlier push is lost."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not supervisor.stopping:
        if _holds_a_hook(environment["SANDBOX_DOCKERHUB_URL"], environment["PUBLIC_URL"]):
            return
        time.sleep(0.1)


def _holds_a_hook(dockerhub_url: str, public_url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{dockerhub_url}/_control/state", timeout=1) as answer:  # noqa: S310
            hooks = [hook for row in json.load(answer)["repositories"] for hook in row["hooks"]]
            return any(hook["url"].startswith(public_url.rstrip("/") + "/") for hook in hooks)
    except (OSError, ValueError):
        return False


def _greeting(host: str, port: int, environment: dict[str, str], stand_ins: bool) -> str:
    shown = "127.0.0.1" if host in {"0.0.0.0", "::", ""} else host  # noqa: S104
    lines = [f"Codestream runs at  http://{shown}:{port}/   (Ctrl-C ends it)"]
    if stand_ins:
        data = f" DATA_DIR={environment['DATA_DIR']}" if "DATA_DIR" in os.environ else ""
        lines += [
            f"Local Docker Hub    {environment['SANDBOX_DOCKERHUB_URL']}/",
            f"Local cluster       {environment['SANDBOX_KUBERNETES_URL']}/",
            f"Push an image with  make push IMAGE=demo/web TAG=1.2.3{data}",
        ]
    return "\n".join(["", *lines, f"Logs are in         {environment['DATA_DIR']}/logs", ""])


def die_with(parent: int, number: signal.Signals) -> None:
    """Have the kernel end this child, with its own signal, when its parent ends: it may be gone by
    now. PostgreSQL would wait at SIGTERM for whoever is connected, and keep its port as long.
    """
    if _libc is not None:
        _libc.prctl(PR_SET_PDEATHSIG, number)
        if os.getppid() != parent:
            os._exit(1)


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201


def _fail(text: str) -> int:
    print(text, file=sys.stderr, flush=True)  # noqa: T201
    return 1


if __name__ == "__main__":
    sys.exit(main(on_postgres="--postgres" in sys.argv[1:]))
