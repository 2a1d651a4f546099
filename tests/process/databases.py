"""The databases that the whole product is started on."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from codestream.local_postgres import is_installed

DEMO_OPTIONS = ("--postgres",) if os.environ.get("DEMO_ON") == "postgres" else ()
"""The browser's tests click through the demo on SQLite, or as ``DEMO_ON=postgres`` says."""
NEEDS_POSTGRES = pytest.mark.skipif(not is_installed(), reason="PostgreSQL is not installed")
ON_SQLITE = pytest.param((), id="sqlite", marks=pytest.mark.xdist_group("process-sqlite"))
ON_POSTGRES = pytest.param(
    ("--postgres",),
    id="postgres",
    marks=[pytest.mark.xdist_group("process-postgres"), NEEDS_POSTGRES],
)


@contextmanager
def folder_for_all() -> Iterator[Path]:
    """A data folder that PostgreSQL's own user can reach."""
    with tempfile.TemporaryDirectory(prefix="codestream-process-") as name:
        Path(name).chmod(0o711)
        yield Path(name)
