"""A stand-in's memory between two starts: one JSON file, private and never half-written."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

from codestream.sandbox.http_server import Json


class StateFile:
    """Keeps one JSON value. Without a path nothing is kept, which suits tests."""

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def load(self) -> Json:
        """The value last saved, or None at the first start."""
        if self._path is None or not self._path.exists():
            return None
        value: Json = json.loads(self._path.read_text())
        return value

    def save(self, value: object) -> None:
        """Replace the file as a whole; readable by its owner only. Where it cannot be written (a
        full disk) it stays as it was until the next save, and who saves goes on.
        """
        if self._path is None:
            return
        try:
            _replace(self._path, json.dumps(value))
        except OSError as error:
            sys.stderr.write(f"{self._path.name} is not saved: {error}\n")


def _replace(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        Path(name).replace(path)
    except OSError:
        Path(name).unlink()
        raise
