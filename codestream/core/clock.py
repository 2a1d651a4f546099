"""The clock: one place to ask for the time, so that a test can set it."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from django.db import connection
from django.db.models import DateTimeField, Expression
from django.db.models.functions import Now
from django.utils import timezone


def now() -> datetime:
    """Return the present time, aware, in UTC."""
    return timezone.now()


def database_now(*, plus: timedelta = timedelta()) -> Any:
    """Return the present time, or one not far from it, as an expression for a query.

    It is the database server's own clock where there is a server, so that machines whose clocks
    differ agree about leases; SQLite has no other clock than this machine's.
    """
    return moment(connection.vendor, plus)


@lru_cache
def moment(vendor: str, plus: timedelta) -> Any:
    """Return the expression, the same object each time: who has composed it knows it again."""
    if vendor == "postgresql":
        return Now() + plus if plus else Now()
    return _Present(plus)


def by_database_clock(moment: datetime) -> Any:
    """Return a time that this machine reckoned as equally far from the database's present."""
    if connection.vendor == "postgresql":
        return Now() + (moment - now())
    return moment


class _Present(Expression):
    """The time when the statement is run, as it is on a server; SQLite gets it as a value."""

    output_field = DateTimeField()

    def __init__(self, plus: timedelta) -> None:
        super().__init__()
        self.plus = plus

    def as_sql(self, _compiler: Any, _connection: Any) -> Any:
        return "%s", [self]

    def as_text(self) -> str:
        """Write it as Django writes times to SQLite."""
        return str((now() + self.plus).astimezone(UTC).replace(tzinfo=None))


sqlite3.register_adapter(_Present, _Present.as_text)
