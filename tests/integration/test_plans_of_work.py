"""What workers ask again and again is read from an index, on the database at hand."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from django.db import connection

from executions.watches import Watches
from executions.workers import living_workers
from tests.integration.plans import Asked, listening, steps_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def watches() -> Iterator[Watches]:
    made = Watches(uuid.uuid4(), alive=living_workers)
    yield made
    made.close()


def about(table: str, heard: list[Asked]) -> list[Asked]:
    return [each for each in heard if f'FROM "{table}"' in each.sql]


@pytest.mark.django_db(transaction=True)
def test_the_tasks_that_sleep_are_found_among_all_that_ever_were(watches: Watches) -> None:
    with listening() as heard:
        watches.look()

    (asked,) = about("executions_rolloutwatch", heard)
    # As when there are so many that looking up each one costs more than reading all tasks.
    bare = ("enable_nestloop", "enable_indexscan", "enable_indexonlyscan")
    steps = " ".join(steps_of(asked, without=bare))
    if connection.vendor == "postgresql":
        assert "task_run_due" in steps
    else:
        assert "SCAN executions_taskrun" not in steps
