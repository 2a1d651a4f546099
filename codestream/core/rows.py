"""Writes the rows of every push. Django's own ways do the same and more: they compose a tree for
each statement first, which costs several times what the database takes, and send signals.

Values go through the fields of the models; no name comes from outside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import AutoField, Model


def insert(*rows: Model) -> None:
    """Write new rows of one model down, as ``bulk_create`` does; the database counts the keys that
    are numbers, and nobody hears which they are.
    """
    if not rows:
        return
    database, model = connections[DEFAULT_DB_ALIAS], type(rows[0])
    fields = [each for each in model._meta.local_concrete_fields if not isinstance(each, AutoField)]
    size = database.ops.bulk_batch_size(fields, list(rows)) or len(rows)
    for first in range(0, len(rows), size):
        _insert(database, fields, rows[first : first + size])
    for row in rows:
        row._state.adding, row._state.db = False, DEFAULT_DB_ALIAS


def update(model: type[Model], where: Mapping[str, object], **columns: object) -> int:
    """Change columns of the rows whose columns are as ``where`` says; return how many those are.

    As ``filter(**where).update(**columns)``; a value may be an expression of this table.
    """
    database, fields = connections[DEFAULT_DB_ALIAS], _fields(model)
    texts, conditions, params = [], [], []
    for name, value in columns.items():
        text, more = _written(database, fields[name], value)
        texts.append(f'"{fields[name].column}" = {text}')
        params += more
    for name, value in where.items():
        if value is None:
            conditions.append(f'"{fields[name].column}" IS NULL')
        else:
            conditions.append(f'"{fields[name].column}" = %s')
            params.append(fields[name].get_db_prep_value(value, database))
    changes, table = ", ".join(texts), model._meta.db_table
    text = f'UPDATE "{table}" SET {changes} WHERE {" AND ".join(conditions)}'  # noqa: S608
    with database.cursor() as cursor:
        cursor.execute(text, params)
        return int(cursor.rowcount)


def _insert(database: Any, fields: Sequence[Any], rows: Sequence[Model]) -> None:
    groups, params = [], []
    for row in rows:
        written = [_written(database, field, field.pre_save(row, True)) for field in fields]
        groups.append(f"({', '.join(text for text, _ in written)})")
        params += [param for _, more in written for param in more]
    columns, table = ", ".join(f'"{field.column}"' for field in fields), rows[0]._meta.db_table
    text = f'INSERT INTO "{table}" ({columns}) VALUES {", ".join(groups)}'  # noqa: S608
    with database.cursor() as cursor:
        cursor.execute(text, params)


@lru_cache
def _fields(model: type[Model]) -> Mapping[str, Any]:
    return {field.name: field for field in model._meta.local_concrete_fields}


def _written(database: Any, field: Any, value: Any) -> tuple[str, list[Any]]:
    """The value of a column, or what only the database can say, such as its present time."""
    if not hasattr(value, "as_sql"):
        return "%s", [field.get_db_prep_save(value, database)]
    query = field.model._base_manager.all().query
    compiler = query.get_compiler(connection=database)
    text, params = compiler.compile(value.resolve_expression(query, allow_joins=False))
    return text, list(params)
