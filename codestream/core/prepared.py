"""Questions that are asked for every push: Django composes each once, and the text is kept.

To compose a question costs several times what SQLite takes to answer it. Only the values change
from one time to the next, so its shape must not depend on them: no ``None``, no lists, no limits.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from copy import copy
from inspect import signature
from typing import Any, Generic, TypeVar

from django.db import DEFAULT_DB_ALIAS, connection, connections
from django.db.models import Expression, QuerySet, UUIDField
from django.db.transaction import TransactionManagementError

Row = TypeVar("Row")


class Prepared(Generic[Row]):
    """A question with values left open: ``Prepared(lambda key: Thing.objects.filter(pk=key))``.

    Values are texts, numbers and uuids. Answers what the queryset would hold.
    """

    def __init__(self, question: Callable[..., QuerySet[Any, Row]]) -> None:
        self._question = question

    def all(self, *values: object) -> list[Row]:
        """Ask it with these values, in the order of its parameters; return every row."""
        composed = kept.get(self)
        if composed is None:
            composed = kept[self] = _Composed(self._question)
        return composed.ask(values)

    def first(self, *values: object) -> Row | None:
        """Return the first row of the answer; the question itself says how many it reads."""
        return next(iter(self.all(*values)), None)


class _Given(Expression):
    """Stands for a value that is not known yet."""

    def __init__(self, place: int) -> None:
        super().__init__()
        self.place = place

    def as_sql(self, _compiler: Any, _connection: Any) -> Any:
        return "%s", [self]


class _Composed:
    """The text of a question, and Django's own reader of the rows that answer it."""

    def __init__(self, question: Callable[..., QuerySet[Any, Any]]) -> None:
        places = range(len(signature(question).parameters))
        queryset = question(*map(_Given, places))
        self._reader: Any = queryset._iterable_class  # noqa: SLF001 - it has no other name
        self._compiler = queryset.query.get_compiler(connection=connection)
        self._sql, self._params = self._compiler.as_sql()
        columns = [column for column, *_ in self._compiler.select]
        self._converters = self._compiler.get_converters(columns)
        self._is_locking = queryset.query.select_for_update

    def ask(self, values: tuple[object, ...]) -> list[Any]:
        database = connections[DEFAULT_DB_ALIAS]
        if self._is_locking and not database.in_atomic_block:
            # Django looks at this when it composes; a lock would be gone as soon as it is taken.
            raise TransactionManagementError("A row cannot be locked outside of a transaction.")
        params = tuple(
            _adapted(values[each.place], database) if isinstance(each, _Given) else each
            for each in self._params
        )
        compiler: Any = copy(self._compiler)
        compiler.connection = database
        compiler.as_sql = lambda: (self._sql, params)
        compiler.get_converters = lambda _columns: self._converters
        return list(self._reader(_Asked(compiler)))


class _Asked:
    """As much of a queryset, and of its query, as Django needs to read rows."""

    db = DEFAULT_DB_ALIAS
    _known_related_objects: dict[Any, Any] = {}

    def __init__(self, compiler: Any) -> None:
        self._compiler = compiler

    @property
    def query(self) -> _Asked:
        return self

    def get_compiler(self, using: str) -> Any:
        return self._compiler


kept: dict[Prepared[Any], _Composed] = {}
"""What was composed in this process."""
_KEY: UUIDField[Any, Any] = UUIDField()


def _adapted(value: object, database: Any) -> object:
    """SQLite keeps a uuid as text."""
    return _KEY.get_db_prep_value(value, database) if isinstance(value, uuid.UUID) else value
