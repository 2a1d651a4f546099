"""What the tests of real processes share."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def folder() -> Iterator[Path]:
    """A data folder that PostgreSQL's own user can reach."""
    with tempfile.TemporaryDirectory(prefix="codestream-process-") as name:
        Path(name).chmod(0o711)
        yield Path(name)
