"""The list envelope of the API, ``{count, totalCount, links, documents}``: the original's, of which
clients read the order of ``links`` and stop when ``count`` is short of what they asked for.

Lists grow for ever, so counting and skipping end at REACH; ``nextPageLink`` leads to every row.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

from django.db import models
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from codestream.core.json_types import Json
from codestream.core.keyset import Columns, Key, Page, below_key, ranges, read_rows, united
from codestream.core.listing import count_up_to, within

DEFAULT_TOP = 100
MOST = 2000
REACH = 10_000
"""How many rows ``$skip`` passes and ``totalCount`` counts at most."""
Row = TypeVar("Row", bound=models.Model)


def answer_list(
    request: Request,
    rows: models.QuerySet[Row],
    columns: Columns,
    *,
    link: Callable[[Row], str],
    document: Callable[[Row], dict[str, Json]],
) -> Response:
    """Return one page of the rows with these columns, newest first: ``$top`` rows (100) after
    ``$skip`` (0), or below ``$skiptoken``. Links keep the rows' order.
    """
    top = _number(request, "$top", default=DEFAULT_TOP, most=MOST)
    skip = _number(request, "$skip", default=0, most=REACH)
    parts = [below_key(each, _token(request)) for each in ranges(rows, columns)]
    keys = tuple(key for key, _row in united(parts, limit=top + 1, skip=skip))
    found = read_rows(rows, Page(keys=keys[:top]))
    links = [link(row) for row in found]
    body: dict[str, Any] = {
        "count": len(found),
        "totalCount": count_up_to(within(rows, columns), REACH),
        "links": links,
        "documents": {link(row): document(row) for row in found},
    }
    if top and len(keys) > top:
        body["nextPageLink"] = f"{request.path}?$top={top}&$skiptoken={keys[top - 1]}"
    return Response(body)


def micros(moment: datetime | None) -> int | None:
    """Return a time in microseconds since 1970, as the API gives times."""
    return None if moment is None else round(moment.timestamp() * 1_000_000)


def _token(request: Request) -> Key | None:
    text = request.query_params.get("$skiptoken", "")
    key = Key.parse(text)
    if text and key is None:
        raise ValidationError("$skiptoken is what a nextPageLink says.")
    return key


def _number(request: Request, name: str, *, default: int, most: int) -> int:
    text = request.query_params.get(name, "")
    if not text:
        return default
    if not text.isdecimal() or int(text) > most:
        raise ValidationError(f"{name} is a number from 0 to {most}.")
    return int(text)
