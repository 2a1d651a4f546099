"""``python -m tests.cluster [PYTEST OPTIONS]``: the contract tests against a real API server.

Against the cluster of ``KUBECONFIG`` where it is set (a throw-away one: namespaces are made and
deleted in it), else against one that is started here and is built first if need be.
``python -m tests.cluster serve`` starts one to play with.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from tests.cluster.control_plane import cache, running_cluster
from tests.cluster.kubeconfig import VARIABLE, read_kubeconfig

ROOT = Path(__file__).resolve().parents[2]
TESTS = (
    "tests/contracts/kubernetes",
    "tests/integration/test_kubernetes_task.py",
    "tests/integration/test_kubernetes_actions.py",
    "tests/integration/test_kubernetes_reasons.py",
    "tests/integration/test_least_rights.py",
    "tests/integration/test_undos.py",
)


def main(arguments: Sequence[str]) -> int:
    """Run the tests and return pytest's exit code."""
    # The programs of the cluster are to end with this one, however it is ended.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with _kubeconfig() as file:
        print(f"KUBECONFIG={file}", file=sys.stderr)
        if arguments[:1] == ["serve"]:
            return _serve()
        hosts = {"127.0.0.1", "localhost", "::1"}
        hosts |= {urlsplit(access.url).hostname or "" for access in read_kubeconfig(file).values()}
        command = [sys.executable, "-m", "pytest", "-q", "-n", "0", *(arguments or TESTS)]
        return subprocess.run(
            [*command, f"--allow-hosts={','.join(sorted(hosts))}"],
            env={**os.environ, VARIABLE: str(file)},
            cwd=ROOT,
            check=False,
        ).returncode


@contextmanager
def _kubeconfig() -> Iterator[Path]:
    given = os.environ.get("KUBECONFIG")
    if given:
        yield Path(given)
        return
    environment = {**os.environ, "CLUSTER_CACHE": str(cache())}
    build = ["sh", str(ROOT / "deploy" / "build-cluster")]
    if code := subprocess.run(build, env=environment, check=False).returncode:
        sys.exit(code)
    with (
        tempfile.TemporaryDirectory(prefix="codestream-cluster-") as folder,
        running_cluster(Path(folder)) as file,
    ):
        yield file


def _serve() -> int:
    print("Ctrl-C ends it.", file=sys.stderr)
    try:
        sys.stdin.read()
    except KeyboardInterrupt:
        print()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
