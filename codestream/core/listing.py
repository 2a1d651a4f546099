"""What a list shows of a table that grows for ever: one page, and how many rows there are of each
status. A count ends at a number, a search reads one stretch of the table and says how far it came.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import Q

from codestream.core.keyset import (
    Columns,
    Key,
    Page,
    Place,
    Rows,
    below_key,
    ranges,
    read_page,
    united,
)

COUNTED = 1000
"""Counts of a page end here: a longer list has "1000+" rows."""
SEARCHED = 1000
"""How many rows a search looks at before it shows what it has found."""


@dataclass(frozen=True, slots=True)
class Tally:
    """A number of rows; ``open`` where there may be more."""

    number: int
    open: bool = False

    def __add__(self, other: Tally) -> Tally:
        number = self.number + other.number
        return Tally(min(number, COUNTED), self.open or other.open or number > COUNTED)

    def __str__(self) -> str:
        return f"{self.number}+" if self.open and self.number else str(self.number)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked of a list.

    ``columns`` and the column ``status`` are those of its indexes. ``groups`` are the statuses
    that are counted together, ``chosen`` names the one shown, any other word shows all.
    ``mentions`` is what a search asks of a row.
    """

    columns: Columns
    status: str
    groups: Mapping[str, Collection[str]]
    chosen: str
    mentions: Q | None
    place: Place
    size: int


def ask(rows: Rows, question: Question) -> tuple[Page, dict[str, Tally]]:
    """Return the page, and the tally of each group."""
    if question.mentions is not None:
        return _search(ranges(rows, question.columns), question, question.mentions)
    chosen = question.groups.get(question.chosen)
    parts = ranges(rows, {**question.columns, question.status: chosen})
    groups = {
        name: within(rows, {**question.columns, question.status: statuses})
        for name, statuses in question.groups.items()
    }
    return read_page(parts, question.place, question.size), _tallies(groups)


def within(rows: Rows, columns: Columns) -> Rows:
    """Return the rows with one of the values in each column, in no order."""
    given = {f"{name}__in": values for name, values in columns.items() if values is not None}
    return rows.filter(**given).order_by()


def count_up_to(rows: Rows, most: int) -> int:
    """Count the rows, at most ``most`` of them."""
    return rows.order_by().values("pk")[:most].count()


def _tallies(groups: Mapping[str, Rows]) -> dict[str, Tally]:
    """Count every group as far as COUNTED, all in one question."""
    counting = [_counting(rows) for rows in groups.values()]
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {', '.join(sql for sql, _params in counting)}",
            [value for _sql, params in counting for value in params],
        )
        found = cursor.fetchone()
    return {
        name: Tally(min(number, COUNTED), number > COUNTED)
        for name, number in zip(groups, found, strict=True)
    }


def _counting(rows: Rows) -> tuple[str, Sequence[Any]]:
    try:
        sql, params = rows.values("pk")[: COUNTED + 1].query.sql_with_params()
    except EmptyResultSet:
        return "0", ()
    return f"(SELECT COUNT(*) FROM ({sql}) AS counted)", params  # noqa: S608 - Django's SQL


def _search(
    parts: Sequence[Rows], question: Question, mentions: Q
) -> tuple[Page, dict[str, Tally]]:
    """Look through a stretch below the place. The next page begins below what is shown, or where
    the stretch ended.
    """
    top = question.place.older
    below = [below_key(rows, top) for rows in parts]
    end = next((key for key, _row in united(below, limit=1, skip=SEARCHED - 1)), None)
    stretch = [_down_to(rows, end).filter(mentions) for rows in below]
    found = united(stretch, limit=SEARCHED, names=[question.status])
    chosen = question.groups.get(question.chosen)
    keys = [key for key, (status,) in found if chosen is None or status in chosen]
    shown = tuple(keys[: question.size])
    rest = len(keys) > question.size
    page = Page(
        keys=shown,
        newest=top is None,
        older=shown[-1] if rest else end,
        searched_to=end.created_at if end and not rest else None,
    )
    counts = Counter(status for _key, (status,) in found)
    part = top is not None or end is not None
    return page, {
        name: Tally(sum(counts[status] for status in statuses), part)
        for name, statuses in question.groups.items()
    }


def _down_to(rows: Rows, end: Key | None) -> Rows:
    """Return the rows from the key upwards, with its own."""
    if end is None:
        return rows
    found = rows.filter(created_at__gte=end.created_at)
    return found.exclude(created_at=end.created_at, pk__lt=end.pk)
