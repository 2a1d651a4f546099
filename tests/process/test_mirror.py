"""Docker Hub fails and the worker is killed, for real: a few cases of the whole campaign."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.process.databases import NEEDS_POSTGRES
from tests.running import ROOT

pytestmark = [pytest.mark.process, pytest.mark.timeout(400)]


@pytest.mark.parametrize("database", ["sqlite", pytest.param("postgres", marks=NEEDS_POSTGRES)])
def test_a_hook_ends_right_whatever_fails(database: str) -> None:
    options = ["--cases", "4", "--seed", "7", "--database", database]
    command = [sys.executable, "-m", "tests.process.mirror", *options]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "wrong in the end             0" in done.stdout
