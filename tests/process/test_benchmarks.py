"""Every benchmark runs, in small, and finds nothing wrong with the product."""

from __future__ import annotations

import subprocess
import sys

import pytest

from benchmarks.bench import ROOT

pytestmark = pytest.mark.process


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("intake", ["--clients", "2", "--seconds", "0.2"]),
        ("latency", ["--pushes", "3"]),
        ("burst", ["--pushes", "6", "--pipelines", "2", "--concurrency", "1"]),
        (
            "beside",
            ["--tool", "codestream", "--single", "3", "--pushes", "6", "--seconds", "0.2"],
        ),
        ("waiting", ["--executions", "20", "--seconds", "0.5"]),
    ],
)
def test_a_benchmark_prints_its_table(name: str, arguments: list[str]) -> None:
    command = [sys.executable, "-m", f"benchmarks.{name}", *arguments]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "SQLite" in done.stdout
    assert "|---" in done.stdout
