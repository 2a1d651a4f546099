"""Databases that fail on demand, with the errors that the real drivers raise."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
from django.db import OperationalError, connection


def database_failure(driver: Exception) -> OperationalError:
    """The driver's error as Django passes it on."""
    error = OperationalError(*driver.args)
    error.__cause__ = driver
    return error


@contextmanager
def failing_database(driver: Exception) -> Iterator[None]:
    """Let every statement of this thread fail."""

    def fail(*_statement: Any) -> Any:
        raise database_failure(driver)

    with connection.execute_wrapper(fail):
        yield


def full_file(folder: Path) -> sqlite3.Error:
    """What SQLite says when a file may not grow."""
    with closing(sqlite3.connect(folder / "full.sqlite3")) as file:
        file.execute("PRAGMA max_page_count = 2")
        file.execute("CREATE TABLE crates (content)")
        return _failure(file, "INSERT INTO crates VALUES (zeroblob(100000))")


def locked_file(folder: Path) -> sqlite3.Error:
    """What SQLite says when another connection keeps a file to itself."""
    path = folder / "locked.sqlite3"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with closing(sqlite3.connect(path, timeout=0)) as file:
            return _failure(file, "CREATE TABLE crates (content)")


def read_only_file(folder: Path) -> sqlite3.Error:
    """What SQLite says when a file was opened for reading only."""
    path = folder / "kept.sqlite3"
    sqlite3.connect(path).close()
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as file:
        return _failure(file, "CREATE TABLE crates (content)")


def no_file(folder: Path) -> sqlite3.Error:
    """What SQLite says when there is no such folder."""
    try:
        sqlite3.connect(folder / "missing" / "codestream.sqlite3")
    except sqlite3.Error as error:
        return error
    raise AssertionError("it was opened")


def damaged_file(folder: Path) -> sqlite3.Error:
    """What SQLite says to a file that holds something else."""
    path = folder / "damaged.sqlite3"
    path.write_bytes(b"no database " * 1000)
    with closing(sqlite3.connect(path)) as file:
        return _failure(file, "SELECT * FROM sqlite_master")


def missing_table(folder: Path) -> sqlite3.Error:
    """What SQLite says to a statement that is wrong."""
    with closing(sqlite3.connect(":memory:")) as file:
        return _failure(file, "SELECT * FROM crates")


def no_server() -> psycopg.OperationalError:
    """What psycopg says when nobody listens."""
    try:
        psycopg.connect("postgres://ada:pass-word@127.0.0.1:1/codestream", connect_timeout=2)
    except psycopg.OperationalError as error:
        return error
    raise AssertionError("somebody listens")


def _failure(file: sqlite3.Connection, statement: str) -> sqlite3.Error:
    try:
        file.execute(statement)
    except sqlite3.Error as error:
        return error
    raise AssertionError("it did not fail")
