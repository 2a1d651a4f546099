"""Lists that grow for ever: no row is lost or shown twice, and every range is one of an index."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from math import prod
from uuid import UUID

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st

from codestream.core import keyset
from codestream.core.clock import now
from codestream.core.keyset import Key, Page, Place, ranges, read_page, read_rows
from executions.models import Execution
from executions.states import Status
from pipelines.models import Pipeline
from tests.factories import ExecutionFactory, PipelineFactory
from tests.integration.plans import plan_of

pytestmark = pytest.mark.django_db
START = datetime.fromisoformat("2026-05-01T12:00:00+00:00")


@pytest.fixture
def pipelines() -> list[Pipeline]:
    made: list[Pipeline] = PipelineFactory.create_batch(3)
    return made


def add(pipeline: Pipeline, *, minute: int, status: Status = Status.COMPLETED) -> UUID:
    """An execution made at that minute, of which the seconds do not differ."""
    row = ExecutionFactory.create(pipeline=pipeline, status=status)
    Execution.objects.filter(pk=row.pk).update(created_at=START + timedelta(minutes=minute))
    key: UUID = row.pk
    return key


def page(pipelines: list[Pipeline], place: Place, size: int = 3) -> Page:
    columns = {"project_id": [pipeline.project_id for pipeline in pipelines]}
    return read_page(ranges(Execution.objects.all(), columns), place, size)


def all_pages(pipelines: list[Pipeline]) -> Iterator[Page]:
    place = Place()
    while True:
        found = page(pipelines, place)
        yield found
        if found.older is None:
            return
        place = Place(older=found.older)


def in_order() -> list[UUID]:
    return list(Execution.objects.order_by("-created_at", "-id").values_list("pk", flat=True))


@pytest.mark.parametrize("together", [1, 4, 20])
def test_the_pages_hold_every_row_once_and_in_order(
    pipelines: list[Pipeline], together: int
) -> None:
    for number in range(10):
        add(pipelines[number % 3], minute=number // together)

    found = [key.pk for each in all_pages(pipelines) for key in each.keys]

    assert found == in_order()
    assert len(found) == 10


def test_what_arrives_meanwhile_moves_no_row_to_another_page(pipelines: list[Pipeline]) -> None:
    for number in range(7):
        add(pipelines[number % 3], minute=number // 3)
    before, found = in_order(), []

    for each in all_pages(pipelines):
        found += [key.pk for key in each.keys]
        add(pipelines[0], minute=60)

    assert found == before


def test_the_way_back_leads_over_the_same_pages(pipelines: list[Pipeline]) -> None:
    for number in range(9):
        add(pipelines[number % 3], minute=number // 4)
    first, second, third = all_pages(pipelines)

    back = page(pipelines, Place(newer=third.newer))

    assert (back.keys, back.newest) == (second.keys, False)
    assert page(pipelines, Place(newer=back.newer)).keys == first.keys


def test_the_way_back_ends_with_a_full_newest_page(pipelines: list[Pipeline]) -> None:
    keys = [add(pipelines[0], minute=number) for number in range(5)]
    second = page(pipelines, Place(older=Key(START + timedelta(minutes=3), keys[3])))

    newest = page(pipelines, Place(newer=second.newer))

    assert newest.newest
    assert [key.pk for key in newest.keys] == [keys[4], keys[3], keys[2]]


def test_a_list_of_nothing_is_an_empty_page(pipelines: list[Pipeline]) -> None:
    assert page([], Place()) == Page()
    assert page(pipelines, Place()) == Page()
    assert not Page().has_others


def test_many_ranges_are_read_in_parts(
    pipelines: list[Pipeline], monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(7):
        add(pipelines[number % 3], minute=number // 2)
    monkeypatch.setattr(keyset, "RANGES_AT_ONCE", 2)

    assert [key.pk for each in all_pages(pipelines) for key in each.keys] == in_order()


def test_a_row_that_is_gone_is_left_out(pipelines: list[Pipeline]) -> None:
    keys = [add(pipelines[0], minute=number) for number in range(3)]
    found = page(pipelines, Place())
    Execution.objects.filter(pk=keys[1]).delete()

    assert [row.pk for row in read_rows(Execution.objects.all(), found)] == [keys[2], keys[0]]


@given(st.datetimes(timezones=st.just(UTC)), st.uuids())
def test_a_key_is_read_as_it_was_written(moment: datetime, pk: UUID) -> None:
    assert Key.parse(str(Key(moment, pk))) == Key(moment, pk)


@pytest.mark.parametrize("text", ["", "x", "1", "1-x", f"{10**30}-{UUID(int=1).hex}"])
def test_what_is_no_key_is_none(text: str) -> None:
    assert Key.parse(text) is None


@pytest.mark.parametrize(
    ("columns", "index"),
    [
        ({}, "execution_newest_of_all"),
        ({"status": ["FAILED", "CANCELED"]}, "execution_by_status"),
        ({"project_id": [UUID(int=1), UUID(int=2)]}, "execution_newest"),
        ({"project_id": [UUID(int=1)], "status": ["FAILED"]}, "execution_by_project_status"),
        ({"pipeline_id": [UUID(int=1)]}, "execution_by_pipeline"),
        ({"pipeline_id": [UUID(int=1)], "status": ["FAILED"]}, "execution_pipeline_status"),
    ],
)
@pytest.mark.parametrize("place", [Place(), Place(older=Key(START, UUID(int=7)))])
def test_every_range_is_read_from_its_own_index_alone(
    columns: dict[str, list[object]], index: str, place: Place
) -> None:
    with CaptureQueriesContext(connection) as asked:
        read_page(ranges(Execution.objects.all(), columns), place, 25)

    reads = [line for line in plan_of(asked) if "executions_execution" in line]
    assert len(reads) == prod(map(len, columns.values()))
    assert all(f"COVERING INDEX {index}" in line for line in reads)


def test_the_time_of_a_key_is_that_of_its_row(pipelines: list[Pipeline]) -> None:
    row = ExecutionFactory.create(pipeline=pipelines[0])

    (key,) = page(pipelines, Place()).keys

    assert (key.created_at, key.pk) == (row.created_at, row.pk)
    assert key.created_at <= now()
