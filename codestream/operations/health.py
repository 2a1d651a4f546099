"""Whether this process can serve: load balancers and orchestrators ask every few seconds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue

from django.db import DEFAULT_DB_ALIAS, connection, connections
from django.db import Error as AnyDatabaseError
from django.db.migrations.executor import MigrationExecutor

from codestream.core.crypto import decrypt, encrypt
from codestream.core.database_trouble import trouble_of
from codestream.core.errors import CodeStreamError
from executions.workers import living_workers
from webhooks.models import ListenerSecret

SLOW_SECONDS = 2.0
OPEN_FILES = Path("/proc/self/fd")
_seen: set[str] = set()
"""Holds MIGRATED once every migration has been seen applied."""
MIGRATED = "migrated"
_askers = threading.BoundedSemaphore(4)
"""So many threads at most wait for a silent server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """What is wrong, by what it is wrong with; and how many workers live, which is no fault."""

    problems: dict[str, str]
    workers: int | None

    @property
    def is_ready(self) -> bool:
        return not self.problems


def readiness() -> Readiness:
    """Ask the database, the migrations and the keys; without a database nothing else is asked.

    Answers in time: a server may take a question and never answer it.
    """
    return _look() if connection.vendor == "sqlite" else in_time(_look)


def in_time(look: Callable[[], Readiness]) -> Readiness:
    """Look from another thread, which is left behind when that takes too long."""
    silent = Readiness(
        problems={"database": f"it does not answer within {SLOW_SECONDS:.0f} s"}, workers=None
    )
    deadline = time.monotonic() + SLOW_SECONDS
    found: SimpleQueue[Readiness] = SimpleQueue()

    def ask() -> None:
        try:
            found.put(look())
        except AnyDatabaseError:
            found.put(silent)
        finally:
            connection.close()
            _askers.release()

    if not _askers.acquire(timeout=SLOW_SECONDS):
        return silent
    threading.Thread(target=ask, name="readiness", daemon=True).start()
    try:
        return found.get(timeout=max(0.0, deadline - time.monotonic()))
    except Empty:
        return silent


def _look() -> Readiness:
    if problem := _ask(_database_problem):
        return Readiness(problems={"database": problem}, workers=None)
    found = {"migrations": _ask(_migrations_problem), "keys": _ask(_keys_problem)}
    return Readiness(
        problems={name: problem for name, problem in found.items() if problem},
        workers=living_workers().count(),
    )


def open_migrations(alias: str = DEFAULT_DB_ALIAS) -> list[str]:
    """Return the migrations that are yet to be applied, as ``app.name``."""
    executor = MigrationExecutor(connections[alias])
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    return [f"{migration.app_label}.{migration.name}" for migration, _backwards in plan]


def _ask(question: Callable[[], str]) -> str:
    try:
        return question()
    except AnyDatabaseError as error:
        # The words of the driver may name the host and the account: they are for the log.
        trouble = trouble_of(error)
        return f"it does not answer ({trouble.code if trouble else type(error).__name__})"
    except CodeStreamError as error:
        return error.user_message


def _database_problem() -> str:
    started = time.monotonic()
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        cursor.fetchone()
    seconds = time.monotonic() - started
    if seconds > SLOW_SECONDS:
        return f"it took {seconds:.1f} s to answer"
    return "" if _is_in_its_place() else "its file was moved while in use: put it back, or restart"


def _is_in_its_place() -> bool:
    """Whether the file that is open is the one at the path of the settings; what is written to a
    file that was moved would not be there after a restart.
    """
    path = Path(str(connection.settings_dict["NAME"]))
    if connection.vendor != "sqlite" or not path.is_absolute() or not OPEN_FILES.is_dir():
        return True
    return path.resolve() in set(_open_files())


def _open_files() -> Iterator[Path]:
    for each in OPEN_FILES.iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            yield each.readlink()


def _migrations_problem() -> str:
    """Look until all are applied; this code never needs fewer again."""
    if MIGRATED in _seen:
        return ""
    missing = open_migrations()
    if missing:
        return f"{len(missing)} to be applied: run manage.py migrate"
    _seen.add(MIGRATED)
    return ""


def _keys_problem() -> str:
    """Use the keys, and read one secret that was stored: reading decrypts it."""
    decrypt(encrypt("canary"))
    ListenerSecret.objects.order_by("pk").values_list("secret", flat=True).first()
    return ""
