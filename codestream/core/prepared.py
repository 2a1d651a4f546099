"""Statements of every push: Django composes each once, and the text is kept.

To compose a question costs several times what SQLite takes to answer it. Only the values change
from one time to the next, so its shape must not depend on them: no ``None``, no lists, no limits.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from copy import copy
from functools import lru_cache
from inspect import signature
from typing import Any, Generic, TypeVar

from django.db import DEFAULT_DB_ALIAS, connection, connections
from django.db.models import Expression, Model, QuerySet, UUIDField

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


def insert(row: Model) -> None:
    """Write a new row down, as ``row.save(force_insert=True)`` does but for signals.

    For the rows of every push: to compose this costs several times what the database takes.
    """
    fields = row._meta.local_concrete_fields
    texts, params = [], []
    for field in fields:
        value = field.pre_save(row, True)
        if hasattr(value, "as_sql"):
            text, more = _compiled(value, type(row))
            texts.append(text)
            params += more
        else:
            texts.append("%s")
            params.append(field.get_db_prep_save(value, connection))
    with connection.cursor() as cursor:
        cursor.execute(f"{_beginning(type(row))} VALUES ({', '.join(texts)})", params)
    row._state.adding, row._state.db = False, DEFAULT_DB_ALIAS


@lru_cache
def _beginning(model: type[Model]) -> str:
    quoted = connection.ops.quote_name
    fields = model._meta.local_concrete_fields
    columns = ", ".join(quoted(str(field.column)) for field in fields)
    return f"INSERT INTO {quoted(model._meta.db_table)} ({columns})"


def _compiled(value: Any, model: type[Model]) -> tuple[str, list[Any]]:
    """The text of what only the database can say, such as its present time."""
    compiler = model._base_manager.all().query.get_compiler(connection=connection)
    text, params = compiler.compile(value)
    return text, list(params)


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

    def ask(self, values: tuple[object, ...]) -> list[Any]:
        params = tuple(
            _adapted(values[each.place]) if isinstance(each, _Given) else each
            for each in self._params
        )
        compiler: Any = copy(self._compiler)
        compiler.connection = connections[DEFAULT_DB_ALIAS]
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


def _adapted(value: object) -> object:
    """SQLite keeps a uuid as text."""
    return _KEY.get_db_prep_value(value, connection) if isinstance(value, uuid.UUID) else value
