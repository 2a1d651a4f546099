"""What the drivers say, read as what an administrator has to mend."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from django.db import IntegrityError, OperationalError
from psycopg import errors
from psycopg_pool import PoolTimeout

from codestream.core.database_trouble import (
    DAMAGED,
    FULL,
    LOCKED,
    READ_ONLY,
    SLOW,
    UNREACHABLE,
    Trouble,
    trouble_of,
    words_of,
)
from tests.database_failures import (
    damaged_file,
    database_failure,
    full_file,
    locked_file,
    missing_table,
    no_file,
    no_server,
    read_only_file,
)


@pytest.mark.parametrize(
    ("make", "trouble"),
    [
        (full_file, FULL),
        (locked_file, LOCKED),
        (read_only_file, READ_ONLY),
        (no_file, UNREACHABLE),
        (damaged_file, DAMAGED),
        (missing_table, None),
    ],
)
def test_what_a_file_suffers_from_is_told_apart(
    make: Callable[[Path], Exception], trouble: Trouble | None, tmp_path: Path
) -> None:
    assert trouble_of(database_failure(make(tmp_path))) is trouble


@pytest.mark.parametrize(
    ("driver", "trouble"),
    [
        (errors.DiskFull(), FULL),
        (errors.LockNotAvailable(), LOCKED),
        (errors.DeadlockDetected(), LOCKED),
        (errors.QueryCanceled(), SLOW),
        (errors.IdleInTransactionSessionTimeout(), SLOW),
        (errors.ReadOnlySqlTransaction(), READ_ONLY),
        (errors.AdminShutdown(), UNREACHABLE),
        (errors.CannotConnectNow(), UNREACHABLE),
        (errors.TooManyConnections(), UNREACHABLE),
        (errors.ConnectionFailure(), UNREACHABLE),
        (errors.DataCorrupted(), DAMAGED),
        (errors.IoError(), DAMAGED),
        (PoolTimeout("couldn't get a connection"), UNREACHABLE),
        (psycopg.OperationalError("the connection is closed"), UNREACHABLE),
        (errors.UndefinedTable(), None),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_what_a_server_suffers_from_is_told_apart(
    driver: psycopg.Error, trouble: Trouble | None
) -> None:
    assert trouble_of(database_failure(driver)) is trouble


def test_a_server_that_nobody_runs_cannot_be_reached() -> None:
    assert trouble_of(database_failure(no_server())) is UNREACHABLE


@pytest.mark.parametrize(
    "error", [None, ValueError("no"), OperationalError("raised by hand"), IntegrityError("twice")]
)
def test_what_is_no_trouble_of_the_database_is_left_alone(error: Exception | None) -> None:
    assert trouble_of(error) is None


def test_the_words_are_one_line_without_a_password() -> None:
    error = OperationalError("postgres://ada:pass-word@db does not answer\nIs it running?")

    assert words_of(error) == "postgres://********@db does not answer"
