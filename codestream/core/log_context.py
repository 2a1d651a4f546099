"""Which request, event, execution, task or hook a line of the log is about."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def logging_about(**ids: str) -> Iterator[None]:
    """Put the ids on every line that is logged inside."""
    yield
