"""Which request, event, execution, task or hook a line of the log is about."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType

_ids: ContextVar[Mapping[str, str]] = ContextVar("ids", default=MappingProxyType({}))


@contextmanager
def logging_about(**ids: str) -> Iterator[None]:
    """Put the ids on every line that is logged inside, besides those that are there already."""
    before = _ids.set({**_ids.get(), **ids})
    try:
        yield
    finally:
        _ids.reset(before)


def logged_id(name: str) -> str:
    """Return the id of this name that lines are about here; empty when there is none."""
    return _ids.get().get(name, "")


class AboutFilter(logging.Filter):
    """Tells a record what it is about: ``ids`` for programs, ``about`` for people; drops none."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Write the ids of the present context to the record."""
        ids = _ids.get()
        record.ids = dict(ids)
        text = " ".join(f"{name}={value}" for name, value in ids.items())
        record.about = f" [{text}]" if text else ""
        return True
