"""``python -m tests.on_postgres``: what depends on the database, on a PostgreSQL of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from codestream.local_postgres import LocalPostgres, is_installed

DRIVEN = (
    "admin_input",
    "admission",
    "answers",
    "attempts",
    "clocks",
    "concurrency_limit",
    "cost_of_a_push",
    "deleted_meanwhile",
    "ending_projects",
    "engine",
    "faults",
    "generate_token",
    "hints",
    "judging",
    "one_run",
    "postgres_connections",
    "prepared",
    "other_registries",
    "own_pushes",
    "recovery",
    "kubernetes_actions",
    "kubernetes_task",
    "late_workers",
    "mirror",
    "pausing",
    "rollbacks",
    "stories",
    "try_it",
    "schedules",
    "side_by_side",
    "two_windows",
    "mirror_drift",
    "mirror_failures",
    "restricted",
    "retention",
    "retention_meanwhile",
    "rows",
    "undos",
    "unreadable",
    "watches",
    "work",
    "worker",
    "worker_command",
)
WORK = ["-n", "auto", *(f"tests/integration/test_{name}.py" for name in DRIVEN), "tests/api"]
# One at a time: each copy empties the same database first.
COPIES = ["-n", "0", "tests/integration/test_copy_database.py"]

DEMO = ["-n", "0", *(f"tests/browser/test_{name}.py" for name in ("demo", "undo"))]


def main() -> int:
    """Run the tests and return pytest's exit code; without a server, say so and return 0."""
    if not is_installed():
        print("PostgreSQL is not installed: its tests are skipped.", file=sys.stderr)
        return 0
    with tempfile.TemporaryDirectory(prefix="codestream-postgres-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        with LocalPostgres(data_dir=folder, port=_free_port()).running() as url:
            failed = _pytest(WORK, TEST_DATABASE_URL=url) or _pytest(COPIES, TEST_POSTGRES_URL=url)
    return failed or _pytest(DEMO, DEMO_ON="postgres")


def _pytest(arguments: list[str], **environment: str) -> int:
    command = [sys.executable, "-m", "pytest", "-q", *arguments]
    return subprocess.run(command, env={**os.environ, **environment}, check=False).returncode


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


if __name__ == "__main__":
    sys.exit(main())
