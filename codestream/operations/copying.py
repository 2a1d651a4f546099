"""Moves all product data from one database to another, and proves that it arrived.

Rows are read and written as they are stored: keys, times and ciphertext stay the same, and only
what PostgreSQL refuses in a text is replaced. What concerns only running processes (sessions,
workers, leases, hints) is left behind. Everything is written in one transaction: the target holds
all of it or none.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from itertools import islice
from typing import Any
from uuid import UUID

import environ
from django.apps import apps
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.core.management.color import no_style
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections, transaction
from django.db.models import F, Field, Model, TextField, Value
from django.db.models.functions import Cast
from django.db.models.sql import InsertQuery
from django.db.utils import load_backend
from django.utils.connection import ConnectionDoesNotExist

from codestream.core.clock import now
from codestream.core.errors import CodeStreamError
from codestream.core.fields import EncryptedJSONField, EncryptedTextField
from codestream.core.storable import storable
from codestream.core.words import Words
from codestream.core.work import Claimable
from codestream.operations.health import open_migrations
from executions.models import Worker
from executions.workers import DEAD_AFTER

SOURCE, TARGET = "copy_source", "copy_target"
BATCH = 500
LEFT_BEHIND = frozenset({"sessions.session", "executions.worker", "operations.chore"})
MADE_BY_MIGRATING = frozenset({"contenttypes.contenttype", "auth.permission"})
"""Rows that are in a new database already; they are replaced, since their keys may differ."""
LEASE_FIELDS = frozenset({"lease_until", "leased_at", "lease_owner"})
SUM_MODULUS = 1 << 256
ModelClass = type[Model]
Fields = Sequence[Field[Any, Any]]


class CopyError(CodeStreamError):
    """The copy cannot be made, or is not equal; nothing is left in the target."""

    code = "copy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """What a table holds: how many rows, and a sum over all of them that knows no order."""

    rows: int
    total: int

    @property
    def short(self) -> str:
        return f"{self.total:064x}"[:12]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One table on both sides."""

    table: str
    source: Digest
    target: Digest

    @property
    def is_equal(self) -> bool:
        return self.source == self.target


def connect(*, source: str, target: str) -> None:
    """Open both databases by their URLs. Raises CopyError when they are one, or no URLs."""
    if source == target:
        raise CopyError("--from and --to are the same database.")
    for alias, url in ((SOURCE, source), (TARGET, target)):
        known = {alias: _configuration(url), DEFAULT_DB_ALIAS: {}}
        configuration = connections.configure_settings(known)[alias]
        backend = load_backend(configuration["ENGINE"])
        connections[alias] = backend.DatabaseWrapper(configuration, alias)


def disconnect() -> None:
    """Close both and forget them."""
    for alias in (SOURCE, TARGET):
        with suppress(ConnectionDoesNotExist):
            connections[alias].close()
            del connections[alias]


def copied_models() -> list[ModelClass]:
    """Return every model whose rows are product data, those that others refer to first or not:
    references are checked when all is there.
    """
    found = apps.get_models(include_auto_created=True)
    return [
        model
        for model in found
        if model._meta.managed
        and not model._meta.proxy
        and model._meta.app_label != "procrastinate"
        and model._meta.label_lower not in LEFT_BEHIND
    ]


def copy(*, force: bool) -> list[Comparison]:
    """Copy everything and compare it before anything is kept. Raises CopyError.

    The source takes no other writes meanwhile: a push that comes now is refused, not lost.
    """
    _check_source(force=force)
    call_command("migrate", database=TARGET, interactive=False, verbosity=0)
    _check_target()
    with transaction.atomic(using=SOURCE), transaction.atomic(using=TARGET):
        _remove_made_rows()
        for model in copied_models():
            _copy_model(model)
        _reset_sequences()
        connections[TARGET].check_constraints()
        found = compare()
        if unequal := [each.table for each in found if not each.is_equal]:
            raise CopyError(f"Not equal after the copy, so nothing is kept: {', '.join(unequal)}.")
    ContentType.objects.clear_cache()
    return found


def compare() -> list[Comparison]:
    """Compare every table of both databases, row by row."""
    return [
        Comparison(
            table=model._meta.db_table,
            source=digest(model, using=SOURCE),
            target=digest(model, using=TARGET),
        )
        for model in copied_models()
    ]


def digest(model: ModelClass, *, using: str) -> Digest:
    """Return the digest of a table, equal for equal rows whatever the database."""
    rows = total = 0
    for values in _stored_rows(model, using):
        text = json.dumps([normal(value) for value in values], ensure_ascii=True)
        total += int.from_bytes(hashlib.sha256(text.encode()).digest(), "big")
        rows += 1
    return Digest(rows=rows, total=total % SUM_MODULUS)


def normal(value: Any) -> Any:
    """Return a value in the form that every database agrees about, fit for JSON."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, date | timedelta | UUID):
        return str(value)
    if isinstance(value, Words):
        return normal(value.as_json())
    if isinstance(value, bytes | memoryview):
        return hashlib.sha256(value).hexdigest()
    if isinstance(value, dict):
        return {str(key): normal(value[key]) for key in sorted(value, key=str)}
    if isinstance(value, list | tuple):
        return [normal(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _configuration(url: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = environ.Env.db_url_config(url)
    except (environ.ImproperlyConfigured, ValueError, KeyError) as error:
        raise CopyError("That is no database URL such as postgres://… or sqlite:///….") from error
    if found.get("ENGINE") == "django.db.backends.sqlite3":
        pragmas = "PRAGMA journal_mode=WAL; PRAGMA foreign_keys=ON;"
        options = {"timeout": 5, "transaction_mode": "IMMEDIATE", "init_command": pragmas}
        return {**found, "OPTIONS": options}
    return found


def _check_source(*, force: bool) -> None:
    if missing := open_migrations(SOURCE):
        raise CopyError(f"The source lacks {len(missing)} migrations: migrate it first.")
    beating = now() - DEAD_AFTER
    alive = Worker.objects.using(SOURCE).filter(heartbeat_at__gt=beating).count()
    if alive and not force:
        raise CopyError(
            f"{alive} workers are alive in the source. Stop web and workers first, "
            "or add --force-while-running and lose what they do from now on."
        )


def _check_target() -> None:
    for model in copied_models():
        if model._meta.label_lower in MADE_BY_MIGRATING:
            continue
        if model._base_manager.using(TARGET).exists():
            raise CopyError(f"The target holds data already (table {model._meta.db_table}).")


def _remove_made_rows() -> None:
    made = [model for model in copied_models() if model._meta.label_lower in MADE_BY_MIGRATING]
    for model in reversed(made):
        rows = model._base_manager.using(TARGET).all()
        rows._raw_delete(TARGET)  # noqa: SLF001 - nothing cascades


def _copy_model(model: ModelClass) -> None:
    fields = model._meta.local_concrete_fields
    rows = _stored_rows(model, SOURCE)
    try:
        while batch := list(islice(rows, BATCH)):
            instances = [_instance(model, fields, values) for values in batch]
            size = connections[TARGET].ops.bulk_batch_size(list(fields), instances)
            for start in range(0, len(instances), size):
                _insert(model, fields, instances[start : start + size])
    except (DatabaseError, ValueError) as error:
        words = str(error).splitlines()[0]
        raise CopyError(f"{model._meta.db_table} could not be copied: {words}") from error


def _insert(model: ModelClass, fields: Fields, instances: list[Model]) -> None:
    """Insert rows as they are: ``raw`` keeps Django from setting times anew."""
    query = InsertQuery(model)
    query.insert_values(fields, instances, raw=True)
    query.get_compiler(using=TARGET).execute_sql()


def _instance(model: ModelClass, fields: Fields, values: Sequence[Any]) -> Model:
    """Make an instance without ``__init__`` and its signals; ciphertext goes in as an expression,
    which the field leaves alone.
    """
    instance = model.__new__(model)
    for field, value in zip(fields, values, strict=True):
        stored = Value(value, output_field=TextField()) if _is_encrypted(field) else value
        instance.__dict__[field.attname] = stored
    return instance


def _stored_rows(model: ModelClass, using: str) -> Iterator[Sequence[Any]]:
    """Read the rows in the order of their keys, ciphertext as ciphertext, without leases, and with
    U+FFFD for what SQLite stores in a text and PostgreSQL does not.
    """
    fields = model._meta.local_concrete_fields
    encrypted = {
        f"stored_{field.name}": Cast(F(field.name), TextField())
        for field in fields
        if _is_encrypted(field)
    }
    names = [f"stored_{field.name}" if _is_encrypted(field) else field.attname for field in fields]
    rows = model._base_manager.using(using).annotate(**encrypted).order_by("pk")
    free = partial(_without_lease, names) if issubclass(model, Claimable) else tuple
    return map(storable, map(free, rows.values_list(*names).iterator(chunk_size=BATCH)))


def _without_lease(names: Sequence[str], values: Sequence[Any]) -> Sequence[Any]:
    pairs = zip(names, values, strict=True)
    return tuple(None if name in LEASE_FIELDS else value for name, value in pairs)


def _is_encrypted(field: Field[Any, Any]) -> bool:
    return isinstance(field, EncryptedTextField | EncryptedJSONField)


def _reset_sequences() -> None:
    """Let new rows be numbered after those that were copied."""
    target = connections[TARGET]
    statements = target.ops.sequence_reset_sql(no_style(), copied_models())
    with target.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
