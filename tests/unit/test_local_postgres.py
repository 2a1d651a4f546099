"""The PostgreSQL server of one's own."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from codestream import local_postgres


def test_a_server_that_does_not_end_in_order_is_ended_hard(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(local_postgres, "ENDING_SECONDS", 1.0)
    deaf = (
        "import signal, sys, time;"
        "signal.signal(signal.SIGINT, signal.SIG_IGN);"
        # A shell lets what it starts in the background ignore both.
        "signal.signal(signal.SIGQUIT, signal.SIG_DFL);"
        "print(flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", deaf], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()

        local_postgres.end(process)

    assert process.returncode == -signal.SIGQUIT
