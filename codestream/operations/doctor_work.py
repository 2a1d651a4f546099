"""Examines what is stored and who works on it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.db import connection
from django.db.models import Field

from codestream import RELEASE
from codestream.core.clock import now
from codestream.core.crypto import UndecipherableError, decrypt
from codestream.core.fields import EncryptedJSONField, EncryptedTextField
from codestream.core.times import in_words
from codestream.core.work import registered
from codestream.operations.collector import due_count, oldest_due
from codestream.operations.findings import Finding, fail, ok, warn
from codestream.operations.models import Chore
from executions.heart import MOST_DRIFT_SECONDS
from executions.models import Worker
from executions.workers import with_life

MOST_TRIED = 1000
"""Secrets of one column that are tried, newest first."""
WAITS_TOO_LONG = 30.0


def encrypted_columns() -> list[Field[Any, Any]]:
    """Return every column whose values are ciphertext."""
    kinds = (EncryptedTextField, EncryptedJSONField)
    fields = [field for model in apps.get_models() for field in model._meta.concrete_fields]
    return [field for field in fields if isinstance(field, kinds)]


def stored_secrets() -> Iterator[Finding]:
    """Every stored secret can be read with the keys at hand."""
    tried, unreadable = 0, []
    for field in encrypted_columns():
        values = _ciphertexts(field)
        tried += len(values)
        if broken := sum(not _is_readable(value) for value in values):
            unreadable.append(f"{broken} of {field.model._meta.label}.{field.name}")
    if unreadable:
        what = f"Cannot be decrypted: {', '.join(unreadable)}."
        todo = "Add the keys this database was used with to ENCRYPTION_KEYS, newest first."
        yield fail("stored secrets", what, todo)
    else:
        yield ok("stored secrets", f"{tried} can be decrypted.")


def workers() -> Iterator[Finding]:
    """At least one worker lives, and all are of this release."""
    rows = list(with_life(Worker.objects.all()))
    living = [worker for worker in rows if worker.lives]
    if not living:
        what = "None is alive: nothing is judged, run or mirrored."
        yield fail("workers", what, "Start one: manage.py worker (make run does it by itself).")
    else:
        threads = sum(worker.threads for worker in living)
        yield ok("workers", f"{len(living)} alive with {threads} threads.")
    for worker in living:
        if worker.release != RELEASE:
            what = f"{worker} runs release {worker.release or 'unknown'}, this is {RELEASE}."
            yield warn("workers", what, "Restart it, unless an upgrade is under way.")
        if abs(worker.clock_ahead) > MOST_DRIFT_SECONDS:
            what = f"The clock of {worker} is {worker.clock_ahead:+.1f} s from the database's."
            yield warn("workers", what, "Let both follow NTP.")
    if lost := len(rows) - len(living):
        held = "was taken over" if living else "waits for one that lives"
        what = f"{lost} lost in the last hour; what they held {held}."
        yield warn("workers", what, "Look into their logs for why they ended.")


def due_rows() -> Iterator[Finding]:
    """Nothing waits long for a worker."""
    for kind in registered():
        since = oldest_due(kind)
        age = now() - since if since else None
        if age is not None and age.total_seconds() > WAITS_TOO_LONG:
            what = f"{due_count(kind)} of kind {kind.name} wait, the first for {in_words(age)}."
            yield warn("due rows", what, "Start more workers, or raise WORKER_THREADS.")
        else:
            yield ok("due rows", f"Nothing of kind {kind.name} waits for long.")


def chores() -> Iterator[Finding]:
    """Periodic work does not fail."""
    for chore in Chore.objects.all():
        if chore.failures:
            what = f"{chore.name} failed {chore.failures} times: {chore.message}"
            yield warn("chores", what, "Look into the workers' log.")
        else:
            yield ok("chores", f"{chore.name}: {chore.message or 'not run yet.'}")


def _ciphertexts(field: Field[Any, Any]) -> list[str]:
    """Read what is stored, without the field that would decrypt it."""
    quote = connection.ops.quote_name
    table, column = quote(field.model._meta.db_table), quote(field.column or "")
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {column} FROM {table} WHERE {column} <> '' "  # noqa: S608 - our own names
            f"ORDER BY {quote('created_at')} DESC LIMIT {MOST_TRIED}"
        )
        return [value for (value,) in cursor.fetchall()]


def _is_readable(ciphertext: str) -> bool:
    try:
        decrypt(ciphertext)
    except UndecipherableError:
        return False
    return True
