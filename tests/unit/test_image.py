"""The image of ``deploy/Dockerfile``: it holds everything that the programs in it need."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text()
IGNORED = (ROOT / "deploy" / "Dockerfile.dockerignore").read_text().splitlines()
COPIED = re.findall(r"^COPY (\S+) (\S+)$", DOCKERFILE, re.MULTILINE)


def test_what_is_copied_is_let_through_and_nothing_else_is() -> None:
    let_through = {line.removeprefix("!") for line in IGNORED if line.startswith("!")}

    assert let_through == {source for source, _ in COPIED}
    assert IGNORED[0] == "**"


def test_web_and_worker_start_from_what_is_copied_alone(tmp_path: Path) -> None:
    for source, target in COPIED:
        place = tmp_path / (source if target == "./" else target)
        place.parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copy
        copy(ROOT / source, place)
    kept = ("PATH", "HOME", "LANG")
    environment = {name: os.environ[name] for name in kept if name in os.environ}
    environment["DATA_DIR"] = str(tmp_path / "data")

    for command in (
        ["-m", "gunicorn", "--check-config", "-c", "deploy/gunicorn.py", "codestream.wsgi"],
        ["manage.py", "worker", "--help"],
        ["manage.py", "check", "--deploy"],
    ):
        subprocess.run(
            [sys.executable, *command], cwd=tmp_path, env=environment, check=True, timeout=100
        )
