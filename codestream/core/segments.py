"""The row of links above a list that filters it by a status, each with its count."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from django.http import QueryDict
from django.utils.translation import gettext as _

from codestream.core.listing import Tally
from codestream.core.statuses import Look, look_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One link; the first one, for everything, has no status and so no look."""

    href: str
    label: str
    count: Tally
    here: bool
    look: Look | None = None


def segments_of(
    query: QueryDict, name: str, statuses: Iterable[str], counts: Mapping[str, Tally]
) -> list[Segment]:
    """All, then each status; ``name`` is the parameter of ``query`` that says which is shown."""
    chosen = query.get(name, "")
    looks = {str(status): look_of(status) for status in statuses}
    everything = Segment(
        href=_href(query, name, ""),
        label=_("All"),
        count=sum(counts.values(), Tally(0)),
        here=chosen not in looks,
    )
    others = [
        Segment(
            href=_href(query, name, status),
            label=str(look.word),
            count=counts.get(status, Tally(0)),
            here=chosen == status,
            look=look,
        )
        for status, look in looks.items()
    ]
    return [everything, *others]


def _href(query: QueryDict, name: str, value: str) -> str:
    """The same search under another status, from its first page."""
    kept = query.copy()
    for each in (name, "older", "newer", "version"):
        kept.pop(each, None)
    if value:
        kept[name] = value
    return f"?{kept.urlencode()}"
