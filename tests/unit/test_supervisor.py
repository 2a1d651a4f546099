"""What `make run` refuses to start, and in which words; and that no child outlives it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from functools import partial

import pytest

from codestream import supervisor


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
        preexec_fn=partial(supervisor._die_with, parent()),
        capture_output=True,
        text=True,
        check=False,
    )

    assert child.stdout == ran
    assert (child.returncode == 0) == bool(ran)
