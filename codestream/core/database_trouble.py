"""What is the matter with a database that does not do its work, told apart for whoever mends it.

One place reads the driver's error; pages, the API, readiness and the doctor say what it found.
Errors that are no trouble of the database's, but a fault of a statement, are left alone.
"""

from __future__ import annotations

import logging
import sqlite3
from dataclasses import dataclass
from typing import TypeVar

from django.db import Error, InterfaceError, InternalError, NotSupportedError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.utils.functional import Promise
from django.utils.log import log_response
from django.utils.translation import gettext_lazy as _

from codestream.core.redact import redact_text

CODE_HEADER = "X-Trouble"
"""Names the trouble to programs, the scripts of the pages among them."""
OUTAGES = (OperationalError, InterfaceError, InternalError, NotSupportedError)
"""What passes by itself: the last one is PostgreSQL's, where a statement was planned before a
column got another type; another connection plans it anew.
"""
logger = logging.getLogger(__name__)
Answer = TypeVar("Answer", bound=HttpResponse)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """A code for programs; for people what happened, and what an administrator does about it."""

    code: str
    title: str | Promise
    happened: str | Promise
    todo: str | Promise
    retry_after: int


FULL = Trouble(
    code="database_full",
    title=_("The database is full"),
    happened=_("Where the database keeps its data there is no room left to write anything down."),
    todo=_(
        "Free some space on that disk, or enlarge it. Codestream then goes on by itself. "
        "Lower RETENTION_ settings keep less from now on."
    ),
    retry_after=60,
)
LOCKED = Trouble(
    code="database_locked",
    title=_("The database is locked"),
    happened=_("Something else held a lock on the database for longer than this could wait."),
    todo=_(
        "Try again in a moment. If it stays, look for a copy, a backup or a shell that keeps a "
        "transaction open, and end it."
    ),
    retry_after=5,
)
UNREACHABLE = Trouble(
    code="database_unreachable",
    title=_("The database cannot be reached"),
    happened=_("It does not run, is being restarted, or accepts no more connections."),
    todo=_(
        "See that the database runs and that this machine reaches what DATABASE_URL names, then "
        "look into its log. Codestream goes on by itself."
    ),
    retry_after=10,
)
SLOW = Trouble(
    code="database_slow",
    title=_("The database takes too long"),
    happened=_("It gave up a question that took longer than it allows."),
    todo=_("Look at the load of the database server, and for transactions that stay open."),
    retry_after=10,
)
READ_ONLY = Trouble(
    code="database_read_only",
    title=_("The database cannot be written to"),
    happened=_("It is open for reading only: a standby, or a file that is write-protected."),
    todo=_(
        "Let DATABASE_URL name the primary server, or let Codestream's user write the file and "
        "its folder."
    ),
    retry_after=60,
)
DAMAGED = Trouble(
    code="database_damaged",
    title=_("The files of the database cannot be used"),
    happened=_("The database reports a fault of its files, or of the disk they lie on."),
    todo=_(
        "Stop Codestream, look at the disk and the system's log, and restore the last backup if "
        "the files are damaged."
    ),
    retry_after=60,
)
# Primary result codes, sqlite.org/rescode.html.
_SQLITE = {
    sqlite3.SQLITE_BUSY: LOCKED,
    sqlite3.SQLITE_LOCKED: LOCKED,
    sqlite3.SQLITE_READONLY: READ_ONLY,
    sqlite3.SQLITE_IOERR: DAMAGED,
    sqlite3.SQLITE_CORRUPT: DAMAGED,
    sqlite3.SQLITE_FULL: FULL,
    sqlite3.SQLITE_CANTOPEN: UNREACHABLE,
    sqlite3.SQLITE_NOTADB: DAMAGED,
}
_PRIMARY = 0xFF
# Codes, and classes of them, of postgresql.org/docs/current/errcodes-appendix.html.
_POSTGRESQL = {
    "25006": READ_ONLY,
    "25P03": SLOW,
    "40001": LOCKED,
    "40P01": LOCKED,
    "53100": FULL,
    "55P03": LOCKED,
    "57014": SLOW,
    "XX001": DAMAGED,
    "XX002": DAMAGED,
}
_POSTGRESQL_CLASSES = {"08": UNREACHABLE, "53": UNREACHABLE, "57": UNREACHABLE, "58": DAMAGED}


def trouble_of(error: BaseException | None) -> Trouble | None:
    """Return what the database suffers from; None when the error tells of no such thing."""
    driver = error.__cause__ if isinstance(error, Error) else None
    if isinstance(driver, sqlite3.Error):
        return _SQLITE.get(getattr(driver, "sqlite_errorcode", 0) & _PRIMARY)
    if driver is None or not hasattr(driver, "sqlstate"):
        return None
    if driver.sqlstate is None:
        # No word from the server: the connection is gone, or there was none to be had.
        is_away = isinstance(error, OperationalError | InterfaceError)
        return UNREACHABLE if is_away else None
    state = str(driver.sqlstate)
    return _POSTGRESQL.get(state) or _POSTGRESQL_CLASSES.get(state[:2])


def words_of(error: BaseException) -> str:
    """Return the first line of what the error says, without secrets."""
    return redact_text(str(error).strip() or type(error).__name__).splitlines()[0]


def as_unavailable(
    response: Answer, request: HttpRequest, trouble: Trouble, error: BaseException
) -> Answer:
    """Turn the response into a 503 that says when to come back, and log it, once."""
    response.status_code = 503
    response.headers["Retry-After"] = str(trouble.retry_after)
    response.headers[CODE_HEADER] = trouble.code
    log_response(
        "%s: %s %s was not answered: %s",
        trouble.code,
        request.method,
        request.path,
        words_of(error),
        response=response,
        request=request,
        logger=logger,
        level="error",
    )
    return response
