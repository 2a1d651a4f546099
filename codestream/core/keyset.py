"""Pages of tables that grow for ever, newest first. A page begins at the key of a row and is read
from ranges of an index, so it costs the same however many rows there are.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any, Self, TypeAlias, TypeVar
from uuid import UUID

from django.db import connection
from django.db.models import Model, QuerySet

RANGES_AT_ONCE = 100
"""SQLite joins at most 500 SELECT (https://sqlite.org/limits.html)."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Row = TypeVar("Row", bound=Model)
Rows: TypeAlias = QuerySet[Any]
Columns: TypeAlias = Mapping[str, Collection[object] | None]
"""Values of the columns that an index begins with; None is any."""


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """Where a row stands in a list: by its time, then by its key, as no two rows do."""

    created_at: datetime
    pk: UUID

    def __str__(self) -> str:
        return f"{(self.created_at - _EPOCH) // timedelta(microseconds=1)}-{self.pk.hex}"

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Return the key that was written as ``text``; None for anything else."""
        micros, _, pk = text.rpartition("-")
        try:
            return cls(_EPOCH + timedelta(microseconds=int(micros)), UUID(hex=pk))
        except (ValueError, OverflowError):
            return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a page begins: below a key, above one, or with the newest row."""

    older: Key | None = None
    newer: Key | None = None

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Self:
        """Read the parameters ``older`` and ``newer``; one that means nothing is left out."""
        older, newer = (Key.parse(query.get(name, "")) for name in ("older", "newer"))
        return cls(older=older, newer=None if older else newer)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The keys of a page, newest first, and where the pages beside it begin.

    ``searched_to`` is the time of the last row that a search has looked at; None when it has
    looked at all, or has more to show.
    """

    keys: tuple[Key, ...] = ()
    newest: bool = True
    newer: Key | None = None
    older: Key | None = None
    searched_to: datetime | None = None

    @property
    def has_others(self) -> bool:
        """Whether there is a newer or an older page."""
        return not self.newest or self.older is not None


def ranges(rows: QuerySet[Row], columns: Columns) -> list[QuerySet[Row]]:
    """Return ``rows`` as ranges of the index that begins with the columns, one for each choice."""
    given = {name: values for name, values in columns.items() if values is not None}
    return [
        rows.filter(**dict(zip(given, choice, strict=True))) for choice in product(*given.values())
    ]


def read_page(parts: Sequence[Rows], place: Place, size: int) -> Page:
    """Return the page of the ranges at the place; the newest one where less than a page is newer
    than the place.
    """
    if place.newer is None:
        return _page_below(parts, place.older, size)
    above = [above_key(rows, place.newer) for rows in parts]
    keys = [key for key, _row in united(above, limit=size + 1, upwards=True)][:size]
    if len(keys) < size:
        return _page_below(parts, None, size)
    return Page(keys=tuple(reversed(keys)), newest=False, newer=keys[-1], older=keys[0])


def read_rows(rows: QuerySet[Row], page: Page) -> list[Row]:
    """Return the rows of a page in its order; one that is gone meanwhile is left out."""
    found = rows.in_bulk([key.pk for key in page.keys])
    return [found[key.pk] for key in page.keys if key.pk in found]


def below_key(rows: QuerySet[Row], key: Key | None) -> QuerySet[Row]:
    """Return the rows that stand below the key; all without one."""
    if key is None:
        return rows
    # The first condition is the range of the index, the second sorts out its first rows.
    found = rows.filter(created_at__lte=key.created_at)
    return found.exclude(created_at=key.created_at, pk__gte=key.pk)


def above_key(rows: QuerySet[Row], key: Key) -> QuerySet[Row]:
    """Return the rows that stand above the key."""
    found = rows.filter(created_at__gte=key.created_at)
    return found.exclude(created_at=key.created_at, pk__lte=key.pk)


def united(
    parts: Sequence[Rows],
    *,
    limit: int,
    skip: int = 0,
    names: Sequence[str] = (),
    upwards: bool = False,
) -> list[tuple[Key, tuple[Any, ...]]]:
    """Return ``limit`` rows of all ranges together after the first ``skip``, in order: their keys,
    each with a tuple of its columns ``names``.

    SQLite merges the ranges as their indexes order them, and stops when it has enough. PostgreSQL
    would read all of them, so there each is limited by itself, which SQLite cannot do.
    """
    order = ("created_at", "id") if upwards else ("-created_at", "-id")
    read = [rows.order_by().values_list("created_at", "id", *names) for rows in parts]
    if len(parts) > 1 and connection.features.supports_slicing_ordering_in_compound:
        read = [rows.order_by(*order)[: skip + limit] for rows in read]
    if len(read) <= RANGES_AT_ONCE:
        return _united(read, order, slice(skip, skip + limit))
    found = [
        row
        for start in range(0, len(read), RANGES_AT_ONCE)
        for row in _united(read[start : start + RANGES_AT_ONCE], order, slice(0, skip + limit))
    ]
    found.sort(key=lambda pair: pair[0], reverse=not upwards)
    return found[skip : skip + limit]


def _united(
    read: Sequence[Rows], order: Sequence[str], window: slice
) -> list[tuple[Key, tuple[Any, ...]]]:
    if not read:
        return []
    joined = read[0].union(*read[1:], all=True) if len(read) > 1 else read[0]
    rows = joined.order_by(*order)[window]
    return [(Key(moment, pk), tuple(values)) for moment, pk, *values in rows]


def _page_below(parts: Sequence[Rows], key: Key | None, size: int) -> Page:
    found = united([below_key(rows, key) for rows in parts], limit=size + 1)
    keys = tuple(each for each, _row in found[:size])
    return Page(
        keys=keys,
        newest=key is None,
        newer=None if key is None else (keys[0] if keys else key),
        older=keys[-1] if len(found) > size else None,
    )
