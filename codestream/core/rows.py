"""Writes the rows of every push. Django's own ways do the same and more: they compose a tree for
each statement first, which costs several times what the database takes, and send signals.

Values go through the fields of the models; no name comes from outside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from datetime import datetime
from functools import lru_cache
from types import NoneType
from typing import Any, NamedTuple, cast
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS, connections, transaction
from django.db.models import (
    AutoField,
    BooleanField,
    CharField,
    DateTimeField,
    Field,
    ForeignKey,
    GenericIPAddressField,
    JSONField,
    Model,
    PositiveBigIntegerField,
    PositiveIntegerField,
    PositiveSmallIntegerField,
    TextField,
    UUIDField,
)

from codestream.core.prepared import NEEDS_NO_ESCAPE, Asked


def insert(*rows: Model) -> None:
    """Write new rows of one model down, as ``bulk_create`` does; the database counts the keys that
    are numbers, and nobody hears which they are.
    """
    if not rows:
        return
    database = connections[DEFAULT_DB_ALIAS]
    table = _table(type(rows[0]), database.vendor)
    size = database.ops.bulk_batch_size(table.fields, list(rows)) or len(rows)
    # All or none, also where one statement does not hold them.
    with transaction.atomic() if len(rows) > size else nullcontext():
        for first in range(0, len(rows), size):
            _insert(database, table, rows[first : first + size])
    for row in rows:
        row._state.adding, row._state.db = False, DEFAULT_DB_ALIAS


def insert_if(holds: Asked, model: type[Model], values: Mapping[str, object]) -> bool:
    """Write a new row down if the question has an answer at that moment; return whether it had.

    The values have the names of attributes (``webhook_id``). Other columns get their defaults.
    Raises ValueError where that is none which a statement can hold, but a random key, say, and for
    names that are none.
    """
    database = connections[DEFAULT_DB_ALIAS]
    form = _form(model, database.vendor, tuple(values))
    texts = [*form.texts]
    params: list[Any] = []
    for place, name, field in form.given:
        texts[place], more = _written(database, field, values[name])
        params += more
    select = f"{form.into}SELECT {', '.join(texts)} WHERE EXISTS ({holds.text})"
    with database.cursor() as cursor:
        cursor.execute(select, [*params, *holds.params])
        return bool(cursor.rowcount)


def update(model: type[Model], where: Mapping[str, object], **columns: object) -> int:
    """Change columns of the rows whose columns are as ``where`` says; return how many those are.

    As ``filter(**where).update(**columns)``; a value may be an expression of this table.
    """
    return _update(model, where, columns)


@contextmanager
def unsynced() -> Iterator[None]:
    """Let the transaction inside be committed before it has reached the disk, where it changes a
    row by ``update_unsynced``. A power cut may undo it, and nothing else; the next commit that
    waits for the disk takes it along.
    """
    database = connections[DEFAULT_DB_ALIAS]
    with cast(Any, database).unsynced() if database.vendor == "sqlite" else nullcontext():
        yield


def update_unsynced(model: type[Model], where: Mapping[str, object], **columns: object) -> int:
    """Do what ``update`` does, in a transaction that is ``unsynced``, or as one of its own."""
    if connections[DEFAULT_DB_ALIAS].vendor == "postgresql":
        return _update(model, where, columns, ending=_UNSYNCED)
    with unsynced():
        return _update(model, where, columns)


_UNSYNCED = " RETURNING set_config('synchronous_commit', 'off', true)"
"""Holds for the transaction, which may be this statement alone."""


def _update(
    model: type[Model],
    where: Mapping[str, object],
    columns: Mapping[str, object],
    *,
    ending: str = "",
) -> int:
    database, fields = connections[DEFAULT_DB_ALIAS], _fields(model)
    texts, conditions = [], []
    params: list[Any] = []
    for name, value in columns.items():
        text, more = _written(database, fields[name], value)
        texts.append(f'"{fields[name].column}" = {text}')
        params += more
    for name, value in where.items():
        if value is None:
            conditions.append(f'"{fields[name].column}" IS NULL')
        else:
            text, more = _written(database, fields[name], value)
            conditions.append(f'"{fields[name].column}" = {text}')
            params += more
    changes, table = ", ".join(texts), model._meta.db_table
    text = f'UPDATE "{table}" SET {changes} WHERE {" AND ".join(conditions)}'  # noqa: S608
    with database.cursor() as cursor:
        cursor.execute(text + ending, params)
        return int(cursor.rowcount)


def _insert(database: Any, table: _Table, rows: Sequence[Model]) -> None:
    groups: list[str] = []
    params: list[Any] = []
    for row in rows:
        texts, more = _values(database, table, row)
        groups.append(f"({', '.join(texts)})")
        params += more
    with database.cursor() as cursor:
        cursor.execute(f"{table.into}VALUES {', '.join(groups)}", params)


def _values(database: Any, table: _Table, row: Model) -> tuple[list[str], list[Any]]:
    """What is written into the columns of a row."""
    texts: list[str] = []
    params: list[Any] = []
    for column in table.columns:
        set_before = column.set_before
        value = set_before(row, True) if set_before else getattr(row, column.name)
        text = column.text_of(value)
        if text is not None:
            texts.append(text)
        elif type(value) in column.as_they_are:
            texts.append("%s")
            params.append(value)
        else:
            text, more = _written(database, column.field, value)
            texts.append(text)
            params += more
    return texts, params


class _Column(NamedTuple):
    """What is the same for every value of a column."""

    field: Any
    name: str
    set_before: Callable[[Model, bool], Any] | None
    empty: Mapping[type, str]
    choices: Mapping[str, str]
    as_they_are: frozenset[type]

    def text_of(self, value: Any) -> str | None:
        """The value as a part of the statement; None where it has to be sent beside it."""
        if not value and type(value) in self.empty:
            return self.empty[type(value)]
        return self.choices.get(value) if self.choices else None


class _Table:
    """What is the same for every row of a model in a database of this vendor: its columns, and how
    an INSERT begins.
    """

    def __init__(self, model: type[Model], vendor: str) -> None:
        known = model._meta.local_concrete_fields
        self.fields = [each for each in known if not isinstance(each, AutoField)]
        self.columns = [
            _Column(
                field=each,
                name=each.attname,
                set_before=_set_before(each),
                empty=_EMPTY.get(type(each), {}),
                choices=_choices(each),
                as_they_are=_AS_THEY_ARE[vendor].get(type(each), frozenset()),
            )
            for each in self.fields
        ]
        names = ", ".join(f'"{each.column}"' for each in self.fields)
        self.into = f'INSERT INTO "{model._meta.db_table}" ({names}) '


_table = lru_cache(_Table)


class _Form(NamedTuple):
    """What is the same for every row of which just these columns are given: the texts of the
    others, and the places that are left open for those.
    """

    into: str
    texts: list[str]
    given: list[tuple[int, str, Any]]


@lru_cache
def _form(model: type[Model], vendor: str, names: tuple[str, ...]) -> _Form:
    table, defaults = _table(model, vendor), model()
    if unknown := set(names) - {column.name for column in table.columns}:
        raise ValueError(f"{model.__name__} has no column {', '.join(sorted(unknown))}.")
    texts, given = [], []
    for place, column in enumerate(table.columns):
        text = column.text_of(getattr(defaults, column.name))
        if column.name in names:
            given.append((place, column.name, column.field))
        elif text is None or (text == "NULL" and not column.field.null):
            raise ValueError(f"{model.__name__}.{column.name} has to be given.")
        texts.append(text or "")
    return _Form(into=table.into, texts=texts, given=given)


def _set_before(field: Any) -> Callable[[Model, bool], Any] | None:
    """What sets a field such as the time of the change; most do nothing but read it."""
    return None if type(field).pre_save is Field.pre_save else field.pre_save


def _choices(field: Any) -> Mapping[str, str]:
    """How a database writes the texts that a column is made for; a driver prepares every value that
    is sent beside the statement.
    """
    texts = [value for value, _ in field.flatchoices if isinstance(value, str)]
    return {value: f"'{value}'" for value in texts if NEEDS_NO_ESCAPE.fullmatch(value)}


_NUMBERS = (PositiveBigIntegerField, PositiveIntegerField, PositiveSmallIntegerField)
_MAY_BE_NULL = (BooleanField, DateTimeField, ForeignKey, GenericIPAddressField, UUIDField)
_EMPTY: Mapping[type, Mapping[type, str]] = {
    **{field: {str: "''"} for field in (CharField, TextField)},
    **{field: {int: "0"} for field in _NUMBERS},
    **{field: {NoneType: "NULL"} for field in _MAY_BE_NULL},
    JSONField: {list: "'[]'", dict: "'{}'"},
}
"""How a database writes the empty value of a type; for these very fields, not for their kin."""
_ANYWHERE: Mapping[type, frozenset[type]] = {
    **{field: frozenset({str}) for field in (CharField, TextField)},
    **{field: frozenset({int}) for field in _NUMBERS},
}
_AS_THEY_ARE: Mapping[str, Mapping[type, frozenset[type]]] = {
    "sqlite": _ANYWHERE,
    "postgresql": {
        **_ANYWHERE,
        **{field: frozenset({UUID}) for field in (ForeignKey, UUIDField)},
        DateTimeField: frozenset({datetime}),
        GenericIPAddressField: frozenset({str}),
    },
}
"""What each database takes without any preparation; for these very fields as well."""


@lru_cache
def _fields(model: type[Model]) -> Mapping[str, Any]:
    return {field.name: field for field in model._meta.local_concrete_fields}


def _written(database: Any, field: Any, value: Any) -> tuple[str, Sequence[Any]]:
    """The value of a column, or what only the database can say, such as its present time."""
    if type(value) in _AS_THEY_ARE[database.vendor].get(type(field), ()):
        return "%s", [value]
    if hasattr(value, "as_sql"):
        return _composed(database.vendor, field.model, value)
    return "%s", [field.get_db_prep_save(value, database)]


@lru_cache
def _composed(_vendor: str, model: type[Model], expression: Any) -> tuple[str, tuple[Any, ...]]:
    """The text of an expression. To compose it takes longer than most statements that hold it."""
    query = model._base_manager.all().query
    compiler = query.get_compiler(connection=connections[DEFAULT_DB_ALIAS])
    text, params = compiler.compile(expression.resolve_expression(query, allow_joins=False))
    return text, tuple(params)
