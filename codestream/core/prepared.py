"""Questions that are asked for every push: Django composes each once, and the text is kept.

To compose a question costs several times what SQLite takes to answer it. Only the values change
from one time to the next, so its shape must not depend on them: no ``None``, no lists, no limits.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from inspect import signature
from operator import itemgetter
from typing import Any, Generic, TypeVar, cast

from django.db import DEFAULT_DB_ALIAS, connection, connections
from django.db.models import Expression, QuerySet
from django.db.models.query import (
    FlatValuesListIterable,
    ValuesListIterable,
    get_related_populators,
)
from django.db.transaction import TransactionManagementError

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Asked:
    """The text of a question and the values in it."""

    text: str
    params: tuple[Any, ...]


class Prepared(Generic[Row]):
    """A question, which is a SELECT, with values left open:
    ``Prepared(lambda key: Thing.objects.filter(pk=key))``.

    Values are texts, numbers and uuids. Answers what the queryset would hold. Only for what every
    push asks (docs/decisions/0015); everywhere else a plain queryset does.
    """

    def __init__(self, question: Callable[..., QuerySet[Any, Row]]) -> None:
        self._question = question

    def all(self, *values: object) -> list[Row]:
        """Ask it with these values, in the order of its parameters; return every row."""
        return self._composed().ask(values)

    def first(self, *values: object) -> Row | None:
        """Return the first row of the answer; the question itself says how many it reads."""
        return next(iter(self.all(*values)), None)

    def asked(self, *values: object) -> Asked:
        """Return its text with these values, to be a part of another statement."""
        return self._composed().asked(values)

    def _composed(self) -> _Composed:
        composed = composed_by_question.get(self)
        if composed is None:
            composed = composed_by_question[self] = _Composed(self._question)
        return composed


class _Given(Expression):
    """Stands for a value that is not known yet."""

    def __init__(self, place: int) -> None:
        super().__init__()
        self.place = place

    def as_sql(self, _compiler: Any, _connection: Any) -> Any:
        return "%s", [self]


class _Composed:
    """The text of a question, and how Django makes objects or values of the rows that answer it."""

    def __init__(self, question: Callable[..., QuerySet[Any, Any]]) -> None:
        places = range(len(signature(question).parameters))
        queryset = question(*map(_Given, places))
        compiler = queryset.query.get_compiler(connection=connection)
        self._sql, self._params = _with_constants(*compiler.as_sql())
        converters = compiler.get_converters([column for column, *_ in compiler.select])
        self._converters = list(converters.items())
        self._read = _reader(queryset, compiler)
        self._keeps_texts = not connection.features.has_native_uuid_field
        self._is_locking = queryset.query.select_for_update

    def ask(self, values: tuple[object, ...]) -> list[Any]:
        database = connections[DEFAULT_DB_ALIAS]
        if self._is_locking and not database.in_atomic_block:
            # Django looks at this when it composes; a lock would be gone as soon as it is taken.
            raise TransactionManagementError("A row cannot be locked outside of a transaction.")
        asked = self.asked(values)
        with database.cursor() as cursor:
            cursor.execute(asked.text, cast(Any, asked.params))
            rows = cursor.fetchall()
        return [self._read(self._converted(row, database)) for row in rows]

    def asked(self, values: tuple[object, ...]) -> Asked:
        params = tuple(
            self._adapted(values[each.place]) if isinstance(each, _Given) else each
            for each in self._params
        )
        return Asked(self._sql, params)

    def _adapted(self, value: object) -> object:
        """SQLite keeps a uuid as text."""
        return value.hex if self._keeps_texts and isinstance(value, uuid.UUID) else value

    def _converted(self, row: tuple[Any, ...], database: Any) -> list[Any]:
        found = list(row)
        for place, (converters, expression) in self._converters:
            for convert in converters:
                found[place] = convert(found[place], expression, database)
        return found


def _with_constants(text: str, params: Sequence[Any]) -> tuple[str, tuple[Any, ...]]:
    """Write the texts that never change, such as the names of states, into the question: a driver
    prepares every value that is sent beside it.
    """
    first, *others = text.split("%s")
    if len(others) != len(params):
        return text, tuple(params)
    parts, sent = [first], []
    for value, part in zip(params, others, strict=True):
        if isinstance(value, str) and NEEDS_NO_ESCAPE.fullmatch(value):
            parts += [f"'{value}'", part]
        else:
            parts += ["%s", part]
            sent.append(value)
    return "".join(parts), tuple(sent)


NEEDS_NO_ESCAPE = re.compile(r"[^'\\%\0]*")


def _reader(queryset: Any, compiler: Any) -> Callable[[list[Any]], Any]:
    """What makes of a row that which the queryset would hold."""
    if queryset._iterable_class is FlatValuesListIterable:  # noqa: SLF001 - it has no other name
        return itemgetter(0)
    if queryset._iterable_class is ValuesListIterable:  # noqa: SLF001
        return tuple
    info, select = compiler.klass_info, compiler.select
    model, columns = info["model"], info["select_fields"]
    own = slice(columns[0], columns[-1] + 1)
    names = [column.target.attname for column, *_ in select[own]]
    related = cast(Any, get_related_populators)(info, select, DEFAULT_DB_ALIAS)
    annotations = list((compiler.annotation_col_map or {}).items())

    def read(row: list[Any]) -> Any:
        found = model.from_db(DEFAULT_DB_ALIAS, names, row[own])
        for each in related:
            each.populate(row, found)
        for name, place in annotations:
            setattr(found, name, row[place])
        return found

    return read


composed_by_question: dict[Prepared[Any], _Composed] = {}
"""What was composed in this process."""
