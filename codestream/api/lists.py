"""The list envelope of the API, ``{count, totalCount, links, documents}``: the original's, of which
clients read the order of ``links`` and stop when ``count`` is short of what they asked for.
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

DEFAULT_TOP = 100
MOST = 2000
Row = TypeVar("Row", bound=models.Model)


def answer_list(
    request: Request,
    rows: models.QuerySet[Row],
    *,
    link: Callable[[Row], str],
    document: Callable[[Row], dict[str, Json]],
) -> Response:
    """Return one page: ``$top`` rows (100) after ``$skip`` (0). Links keep the rows' order."""
    top = _number(request, "$top", default=DEFAULT_TOP, most=MOST)
    skip = _number(request, "$skip", default=0, most=2**31)
    page = list(rows[skip : skip + top])
    links = [link(row) for row in page]
    documents: dict[str, Any] = {link(row): document(row) for row in page}
    return Response(
        {"count": len(page), "totalCount": rows.count(), "links": links, "documents": documents}
    )


def micros(moment: datetime | None) -> int | None:
    """Return a time in microseconds since 1970, as the API gives times."""
    return None if moment is None else round(moment.timestamp() * 1_000_000)


def _number(request: Request, name: str, *, default: int, most: int) -> int:
    text = request.query_params.get(name, "")
    if not text:
        return default
    if not text.isdecimal() or int(text) > most:
        raise ValidationError(f"{name} is a number from 0 to {most}.")
    return int(text)
