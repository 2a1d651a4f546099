"""Django's backend for SQLite, whose threads and processes write one after another (``turns``)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from django.db.backends.sqlite3 import base
from django.db.backends.sqlite3.operations import DatabaseOperations

from codestream.core.sqlite.turns import Turns, turns_of

NORMAL = 1
"""How a connection commits: https://sqlite.org/pragma.html#pragma_synchronous"""
BEGIN = "BEGIN"
WRITES = ("INSERT", "UPDATE", "DELETE", "REPLACE")


class Operations(DatabaseOperations):
    """Reads and writes times as Django does, in UTC, in a fraction of the time."""

    def convert_datetimefield_value(self, value: Any, expression: Any, connection: Any) -> Any:
        if not isinstance(value, str) or self.connection.timezone is not UTC:
            return super().convert_datetimefield_value(value, expression, connection)
        return datetime.fromisoformat(value).replace(tzinfo=UTC)

    def adapt_datetimefield_value(self, value: Any) -> Any:
        if not isinstance(value, datetime) or value.tzinfo is not UTC:
            return super().adapt_datetimefield_value(value)
        return str(value.replace(tzinfo=None))


class DatabaseWrapper(base.DatabaseWrapper):
    """A connection that takes its turn before it writes."""

    ops_class = Operations

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._has_turn = False

    @contextmanager
    def turn(self, *, keep: bool = False) -> Iterator[None]:
        """Wait for the turn for one statement, unless the connection has it for a transaction.

        The statement that begins one keeps the turn, until the transaction ends.
        """
        taken = self._take_turn()
        try:
            yield
        except BaseException:
            keep = False
            raise
        finally:
            if taken and not keep:
                self._give_turn()

    @contextmanager
    def unsynced(self) -> Iterator[None]:
        """Commit without waiting for the disk; a file in WAL stays whole whatever happens. In a
        transaction nothing is different: it has been begun otherwise.
        """
        self.ensure_connection()
        (level,) = self.connection.execute("PRAGMA synchronous").fetchone()
        if self.connection.in_transaction or level <= NORMAL:
            yield
            return
        self.connection.execute(f"PRAGMA synchronous={NORMAL}")
        try:
            yield
        finally:
            # One that was closed meanwhile is opened again as the settings say.
            if self.connection is not None and not self.connection.in_transaction:
                self.connection.execute(f"PRAGMA synchronous={level}")

    def create_cursor(self, name: Any = None) -> Cursor:
        cursor: Cursor = self.connection.cursor(factory=Cursor)
        cursor.wrapper = self
        return cursor

    def _commit(self) -> None:
        super()._commit()  # type: ignore[misc]
        self._give_turn()

    def _rollback(self) -> None:
        try:
            super()._rollback()  # type: ignore[misc]
        finally:
            self._give_turn()

    def _close(self) -> None:
        try:
            super()._close()  # type: ignore[misc]
        finally:
            self._give_turn()

    def _take_turn(self) -> bool:
        """Whether the connection has the turn now and had not before."""
        if self._has_turn:
            return False
        seconds = float(self.settings_dict["OPTIONS"].get("timeout", 5))
        self._has_turn = self._turns.take(seconds)
        return self._has_turn

    def _give_turn(self) -> None:
        if self._has_turn:
            self._has_turn = False
            self._turns.give()

    @property
    def _turns(self) -> Turns:
        """The queue of the file; all that is only in memory has one."""
        return turns_of("" if self.is_in_memory_db() else str(self.settings_dict["NAME"]))


class Cursor(base.SQLiteCursorWrapper):
    """A cursor whose writes wait for the turn of their connection."""

    wrapper: DatabaseWrapper

    def execute(self, query: str, params: Any = None) -> Any:
        # In a transaction it is too late to wait: others would, for what this one holds.
        if self.wrapper.connection.in_transaction or not query.startswith((BEGIN, *WRITES)):
            return super().execute(query, params)
        with self.wrapper.turn(keep=query.startswith(BEGIN)):
            return super().execute(query, params)

    def executemany(self, query: str, param_list: Any) -> Any:
        if self.wrapper.connection.in_transaction:
            return super().executemany(query, param_list)
        with self.wrapper.turn():
            return super().executemany(query, param_list)

    def convert_query(self, query: str, *, param_names: list[str] | None = None) -> str:
        """Write the places of values as SQLite does; the same questions come again and again."""
        if param_names is not None:
            return super().convert_query(query, param_names=param_names)
        return _with_question_marks(query)


@lru_cache(maxsize=512)
def _with_question_marks(query: str) -> str:
    return base.FORMAT_QMARK_REGEX.sub("?", query).replace("%%", "%")
