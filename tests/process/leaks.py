"""Searches what a running product has written for every secret that it knows, however spelled."""

from __future__ import annotations

import base64
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote, quote_plus

import psycopg

from tests.running import PASSWORD, Running, run_in_shell

STORED = """
import json
from codestream.projects.models import Variable
from endpoints.models import Endpoint
from webhooks.models import ListenerSecret
found = {f"secret of {row.webhook}": row.secret for row in ListenerSecret.objects.all()}
found |= {f"variable {row.name}": row.value for row in Variable.objects.exclude(type="REGULAR")}
for row in Endpoint.objects.all():
    found |= {f"{key} of {row.name}": value for key, value in row.credentials.items()}
print(json.dumps(found))
"""
KEY_FILES = ("secret.key", "lookup.key", "encryption.key", "metrics.token", "postgres.password")
NO_SECRETS = {"username"}
SQLITE_TABLES = "SELECT name FROM sqlite_master WHERE type = 'table'"
POSTGRES_TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"


class Cursor(Protocol):
    """What both drivers' cursors can do."""

    def execute(self, query: Any, /) -> Any: ...

    def fetchall(self) -> list[Any]: ...


def leaks(product: Running) -> list[str]:
    """Say which secret stands where in a log or in a column of the database; empty is well."""
    wanted = {
        name: [spelling.encode() for spelling in spellings(secret)]
        for name, secret in secrets_of(product).items()
    }
    return [
        f"{name} in {place}"
        for place, content in _written(product)
        for name, spelled in wanted.items()
        if any(each in content for each in spelled)
    ]


def secrets_of(product: Running) -> dict[str, str]:
    """Every secret of this installation, by its name."""
    stored: dict[str, str] = json.loads(run_in_shell(product.environment, STORED))
    own = {name: value for name, value in stored.items() if name.split()[0] not in NO_SECRETS}
    files = (product.data_dir / name for name in KEY_FILES)
    keys = {file.name: file.read_text().strip() for file in files if file.exists()}
    return {**own, **keys, "API token": product.token, "password": PASSWORD}


def spellings(secret: str) -> set[str]:
    """The secret as it is, URL-encoded, and what it leaves in base64 at any offset."""
    return {secret, quote(secret, safe=""), quote_plus(secret)} | {
        text for offset in range(3) for text in _in_base64(secret.encode(), offset)
    }


def _in_base64(secret: bytes, offset: int) -> Iterator[str]:
    """Without the characters at both ends that neighbours would change."""
    start, end = -(-offset * 4 // 3), (offset + len(secret)) * 4 // 3
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        yield encode(bytes(offset) + secret).decode()[start:end]


def _written(product: Running) -> Iterator[tuple[str, bytes]]:
    for log in sorted((product.data_dir / "logs").iterdir()):
        yield log.name, log.read_bytes()
    yield from _database(product)


def _database(product: Running) -> Iterator[tuple[str, bytes]]:
    if url := product.environment.get("DATABASE_URL"):
        with psycopg.connect(url) as server, server.cursor() as cursor:
            yield from _tables(cursor, POSTGRES_TABLES)
    else:
        path = product.data_dir / "codestream.sqlite3"
        with closing(sqlite3.connect(path)) as file:
            yield from _tables(file.cursor(), SQLITE_TABLES)


def _tables(cursor: Cursor, tables: str) -> Iterator[tuple[str, bytes]]:
    cursor.execute(tables)
    for (table,) in cursor.fetchall():
        cursor.execute(f'SELECT * FROM "{table}"')  # noqa: S608 - a name from the catalogue
        rows = cursor.fetchall()
        yield f"table {table}", b"\n".join(_bytes(value) for row in rows for value in row)


def _bytes(value: Any) -> bytes:
    if isinstance(value, bytes | memoryview):
        return bytes(value)
    return (json.dumps(value) if isinstance(value, dict | list) else str(value)).encode()


def log_lines(folder: Path) -> Iterator[str]:
    """Every line of every log."""
    for log in sorted(folder.iterdir()):
        yield from log.read_text(errors="replace").splitlines()
