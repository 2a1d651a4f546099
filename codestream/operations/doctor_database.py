"""Examines the database: does it answer, is it up to date, does it keep what it is given."""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection

from codestream.core.clock import now
from codestream.operations.findings import Finding, fail, ok, warn
from codestream.operations.health import open_migrations
from codestream.operations.models import Chore
from executions.heart import MOST_DRIFT_SECONDS

LEAST_FREE = 1024**3
FULL = 100 * 1024**2
SLOW_SECONDS = 1.0
SQLITE_FULL = 2
"""``PRAGMA synchronous``, sqlite.org/pragma.html: 2 is FULL, 3 is EXTRA."""
OLDEST_POSTGRESQL = 14


def connection_and_space() -> Iterator[Finding]:
    """It answers, and there is room for more."""
    version = ".".join(map(str, connection.get_database_version()))
    what = f"{connection.display_name} {version} answers."
    if connection.vendor == "postgresql" and _major_version() < OLDEST_POSTGRESQL:
        yield warn("database", what, f"Use PostgreSQL {OLDEST_POSTGRESQL} or newer.")
    else:
        yield ok("database", what)
    free = shutil.disk_usage(settings.DATA_DIR).free
    space = f"{free / 1024**3:.1f} GiB free in {settings.DATA_DIR}."
    todo = "Free some space, or lower the RETENTION_ settings."
    if free < FULL:
        yield fail("disk", space, todo)
    elif free < LEAST_FREE:
        yield warn("disk", space, todo)
    else:
        yield ok("disk", space)


def migrations() -> Iterator[Finding]:
    """The tables are those of this code."""
    missing = open_migrations()
    if missing:
        what = f"{len(missing)} to be applied, the first is {missing[0]}."
        yield fail("migrations", what, "Run manage.py migrate (manage.py prepare does it too).")
    else:
        yield ok("migrations", "All are applied.")


def durability() -> Iterator[Finding]:
    """What was committed survives a power cut."""
    if connection.vendor == "sqlite":
        return _sqlite_durability()
    return _postgresql_durability()


def writing() -> Iterator[Finding]:
    """Write a row and take it back; both are committed."""
    started = time.monotonic()
    name = f"canary-{uuid.uuid4().hex}"
    Chore.objects.create(name=name)
    Chore.objects.filter(name=name).delete()
    seconds = time.monotonic() - started
    what = f"A row was written and deleted in {seconds * 1000:.0f} ms."
    if seconds > SLOW_SECONDS:
        yield warn("writing", what, "Look for a slow disk, or for what holds a long transaction.")
    else:
        yield ok("writing", what)


def clock() -> Iterator[Finding]:
    """The database's clock, by which leases are kept, agrees with this machine's."""
    if connection.vendor == "sqlite":
        yield ok("clock", "SQLite goes by this machine's.")
        return
    before = now()
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        (told,) = cursor.fetchone()
    middle = before + (now() - before) / 2
    drift = (told - middle).total_seconds()
    if abs(drift) > MOST_DRIFT_SECONDS:
        what = f"The database's clock is {drift:+.1f} s from this machine's."
        yield warn("clock", what, "Let both follow NTP.")
    else:
        yield ok("clock", "The database and this machine agree.")


def _sqlite_durability() -> Iterator[Finding]:
    journal, synchronous = _pragma("journal_mode"), int(_pragma("synchronous"))
    what = f"Journal {journal}, synchronous {synchronous}."
    if str(journal).lower() not in {"wal", "memory"} or synchronous < SQLITE_FULL:
        todo = "Remove what DATABASE_URL sets for these: the defaults are WAL and FULL."
        yield warn("durability", what, todo)
    else:
        yield ok("durability", what)
    if _is_on_a_network(Path(str(connection.settings_dict["NAME"]))):
        what = "The SQLite file lies on a network file system, where its locks do not hold."
        yield fail("durability", what, "Use a local disk, or move to PostgreSQL.")


def _postgresql_durability() -> Iterator[Finding]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('fsync'), current_setting('synchronous_commit')")
        fsync, synchronous = cursor.fetchone()
    what = f"fsync {fsync}, synchronous_commit {synchronous}."
    if "off" in {fsync, synchronous}:
        yield warn("durability", what, "Switch both on: a push that was answered may be lost.")
    else:
        yield ok("durability", what)


def _major_version() -> int:
    return int(connection.get_database_version()[0])


def _pragma(name: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(f"PRAGMA {name}")
        return cursor.fetchone()[0]


def _is_on_a_network(file: Path) -> bool:
    """Look for the longest mount point above the file (Linux, proc(5))."""
    mounts = Path("/proc/mounts")
    if not mounts.exists():
        return False
    lines = [line.split() for line in mounts.read_text().splitlines()]
    above = [(place, kind) for _, place, kind, *_ in lines if file.is_relative_to(place)]
    _place, kind = max(above, key=lambda mount: len(mount[0]), default=("", ""))
    return kind.startswith(("nfs", "cifs", "smb"))
