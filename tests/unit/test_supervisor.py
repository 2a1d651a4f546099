"""What `make run` refuses to start, and in which words; and that no child outlives it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from codestream import supervisor
from codestream.local_postgres import LocalPostgres
from tests.running import ROOT, until

SUPERVISOR = """
import os, signal, sys, time
from pathlib import Path
from codestream.supervisor import Child
log = Path(sys.argv[1])
child = Child(
    name="server", command=[sys.executable, "-c", sys.argv[2]], log=log, environment={},
    stop_signal=signal.SIGINT,
)
child.start()
while "ready" not in log.read_text():
    time.sleep(0.01)
os.kill(os.getpid(), signal.SIGKILL)
"""
PREPARING = """
import os, signal, sys, threading, time
from pathlib import Path
from codestream import supervisor
supervisor.ROOT = folder = Path(sys.argv[1])
(folder / "manage.py").write_text(sys.argv[2])

def kill_us():
    while not (folder / "pid").exists():
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGKILL)

threading.Thread(target=kill_us).start()
supervisor._prepare({**os.environ}, supervisor.Supervisor([], ground=[]))
"""
LONG = """
import os, time
open("new", "w").write(str(os.getpid()))
os.rename("new", "pid")
time.sleep(60)
"""
SERVER = """
import signal, sys
numbers = {signal.SIGINT, signal.SIGTERM}
signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
print("ready", flush=True)
print(signal.sigwait(numbers).name, flush=True)
"""


def test_a_port_that_is_taken_is_named_with_what_to_do() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        problem = supervisor._taken("127.0.0.1", port)

    assert f"127.0.0.1:{port}" in problem
    assert "PORT=" in problem


def test_a_free_port_is_no_problem() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    assert supervisor._taken("127.0.0.1", port) == ""


def test_the_web_server_does_not_take_the_port_of_a_stand_in() -> None:
    places = [("127.0.0.1", 8001), ("127.0.0.1", 8001), ("127.0.0.1", 8002)]

    assert "PORT=8001" in supervisor._conflict(places)
    assert supervisor._conflict([("127.0.0.1", 8000), *places[1:]]) == ""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the kernel does not end children")
@pytest.mark.parametrize(("parent", "ran"), [(os.getpid, "yes"), (os.getppid, "")])
def test_a_child_whose_parent_has_died_meanwhile_does_not_begin(
    parent: Callable[[], int], ran: str
) -> None:
    child = subprocess.run(
        [sys.executable, "-c", "print('yes', end='')"],
        preexec_fn=partial(supervisor.die_with, parent(), signal.SIGTERM),
        capture_output=True,
        text=True,
        check=False,
    )

    assert child.stdout == ran
    assert (child.returncode == 0) == bool(ran)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the kernel does not end children")
def test_a_child_of_a_killed_supervisor_gets_the_signal_that_ends_it(tmp_path: Path) -> None:
    log = tmp_path / "server.log"

    killed = subprocess.run(
        [sys.executable, "-c", SUPERVISOR, str(log), SERVER], cwd=ROOT, check=False
    )

    assert killed.returncode == -signal.SIGKILL
    assert until(lambda: "SIG" in log.read_text() and log.read_text().split()) == [
        "ready",
        "SIGINT",
    ]


def test_what_the_others_stand_on_ends_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database, web, worker = (
        supervisor.Child(name=name, command=["true"], log=tmp_path / name, environment={})
        for name in ("postgres", "web", "worker")
    )
    ended: list[list[str]] = []
    monkeypatch.setattr(supervisor, "_end", lambda them: ended.append([one.name for one in them]))

    supervisor.Supervisor([web, worker], ground=[database]).end()
    supervisor.Supervisor([worker, web], ground=[]).end()

    assert ended == [["web", "worker"], ["postgres"], ["worker", "web"], []]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the kernel does not end children")
def test_what_prepares_the_database_ends_with_a_killed_supervisor(tmp_path: Path) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", PREPARING, str(tmp_path), LONG], cwd=ROOT, check=False
    )

    assert killed.returncode == -signal.SIGKILL
    pid = int((tmp_path / "pid").read_text())
    assert until(lambda: not Path(f"/proc/{pid}").exists() or _is_zombie(pid))


def _is_zombie(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


@pytest.mark.parametrize(("ran", "failures"), [(6.0, 0), (4.0, 4)])
def test_a_child_that_had_started_well_is_started_again_at_once(
    tmp_path: Path, ran: float, failures: int
) -> None:
    child = supervisor.Child(
        name="web", command=["true"], log=tmp_path / "log", environment={**os.environ}, failures=3
    )
    child.start()
    assert child.process
    child.process.wait()
    child.started -= ran

    child.look()

    assert child.failures == failures


def test_a_database_server_that_ends_before_it_answers_is_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts = tmp_path / "starts"
    program = f"echo >> {starts}; test $(wc -l < {starts}) -gt 1 && exec sleep 60"
    server = supervisor.Child(
        name="postgres",
        command=["sh", "-c", program],
        log=tmp_path / "log",
        environment={**os.environ},
    )
    watched = supervisor.Supervisor([], ground=[server])

    def answers(_server: LocalPostgres) -> bool:
        return starts.exists() and starts.read_text() == "\n\n"

    monkeypatch.setattr(LocalPostgres, "answers", answers)
    server.start()

    try:
        assert supervisor._wait_for_postgres(LocalPostgres(data_dir=tmp_path, port=0), watched)
    finally:
        watched.end()


def test_nothing_more_is_started_by_one_that_is_to_stop(tmp_path: Path) -> None:
    child = supervisor.Child(name="web", command=["true"], log=tmp_path / "web", environment={})
    stopping = supervisor.Supervisor([], ground=[])

    stopping.stop()
    stopping.add([child])

    assert child.process is None
    assert stopping.children == []
