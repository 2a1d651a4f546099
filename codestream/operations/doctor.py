"""Examines a whole installation: what it runs on, its database, keys, workers and neighbours.

Looks, and writes nothing but a row that it takes back at once and the endpoints' last check. No
finding holds a secret.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from django.db import Error as AnyDatabaseError

from codestream.core.database_trouble import trouble_of, words_of
from codestream.core.errors import CodeStreamError
from codestream.operations import doctor_database, doctor_neighbours, doctor_setup, doctor_work
from codestream.operations.findings import Finding, Grade, fail

Examination = Callable[[], Iterator[Finding]]

SETUP: tuple[Examination, ...] = (
    doctor_setup.versions,
    doctor_setup.key_files,
    doctor_setup.public_url,
    doctor_setup.web_settings,
)
FOUNDATIONS: tuple[Examination, ...] = (
    doctor_database.connection_and_space,
    doctor_database.migrations,
)
ROWS: tuple[Examination, ...] = (
    doctor_database.durability,
    doctor_database.writing,
    doctor_database.clock,
    doctor_work.stored_secrets,
    doctor_work.workers,
    doctor_work.due_rows,
    doctor_work.chores,
    doctor_neighbours.mirror,
)


def examine(*, offline: bool) -> Iterator[Finding]:
    """Look at everything, in an order in which a cause comes before what it causes.

    ``offline`` leaves the endpoints alone. Without a database or its tables the rest is skipped.
    """
    for examination in SETUP:
        yield from _careful(examination)
    for examination in FOUNDATIONS:
        found = list(_careful(examination))
        yield from found
        if any(finding.grade is Grade.FAIL for finding in found):
            return
    for examination in ROWS:
        yield from _careful(examination)
    if not offline:
        yield from _careful(doctor_neighbours.endpoints)


def _careful(examination: Examination) -> Iterator[Finding]:
    """Turn an error into a finding, so that one fault hides no other."""
    about = examination.__name__.replace("_", " ")
    try:
        yield from examination()
    except (AnyDatabaseError, CodeStreamError, OSError) as error:
        trouble, words = trouble_of(error), words_of(error)
        if trouble:
            yield fail(about, f"{trouble.title}: {words}.", str(trouble.todo))
        else:
            yield fail(about, words, "Mend this first, then run the doctor again.")
