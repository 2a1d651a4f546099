"""What must be true after processes were killed: compares what was answered with what was stored,
run, and seen in the cluster. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

OVER = frozenset({"COMPLETED", "FAILED", "CANCELED"})
PENDING = "PENDING"
Document = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """The cluster's deployment at a moment: whose it is, and what it runs."""

    execution: str
    image: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A push that was answered with 200: the id of its delivery, and from when to when it took."""

    id: str
    sent: float
    answered: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """How many pushes got how far, and which are not as they must be."""

    answered: int
    stored: int
    run: int
    lost: list[str]
    doubled: list[str]
    stuck: list[str]
    failed: list[str]
    out_of_order: list[str]
    astray: list[str]

    @property
    def problems(self) -> dict[str, list[str]]:
        """What is wrong, by its kind; empty when all is well."""
        kinds = ("lost", "doubled", "stuck", "failed", "out_of_order", "astray")
        return {kind: found for kind in kinds if (found := getattr(self, kind))}


def account_for(
    answered: Mapping[str, Taken],
    events: Sequence[Document],
    runs: Sequence[Document],
    sights: Sequence[Sight],
) -> Account:
    """Compare. ``answered`` has the answered pushes by their tags; ``events`` and ``runs`` are the
    API's documents; the last sight is the final one.
    """
    in_line = sorted(runs, key=lambda run: run["index"])
    tags = [tag_of(run) for run in in_line]
    stored = {event["id"] for event in events}
    return Account(
        answered=len(answered),
        stored=len(events),
        run=len(runs),
        lost=[tag for tag, push in answered.items() if push.id not in stored or tag not in tags],
        doubled=_more_than_once(tags) + _more_than_once(event["tag"] for event in events),
        stuck=[tag_of(run) for run in runs if run["status"] not in OVER]
        + [event["tag"] for event in events if event["verdict"] == PENDING],
        failed=[
            f"{tag_of(run)} {run['status']}: {run['statusMessage']}"
            for run in in_line
            if run["status"] in OVER - {"COMPLETED"}
        ],
        out_of_order=_out_of_order([tag for tag in tags if tag in answered], answered),
        astray=_astray(in_line, sights),
    )


def tag_of(run: Document) -> str:
    """The tag whose push started the execution."""
    return str(run["input"]["DOCKER_TAG"])


def _more_than_once(tags: Iterable[str]) -> list[str]:
    return [tag for tag, times in Counter(tags).items() if times > 1]


def _out_of_order(run: list[str], answered: Mapping[str, Taken]) -> list[str]:
    """What ran after a push that was sent when it had been answered already."""
    latest, found = 0.0, []
    for tag in run:
        if answered[tag].answered < latest:
            found.append(tag)
        latest = max(latest, answered[tag].sent)
    return found


def _astray(in_line: list[Document], sights: Sequence[Sight]) -> list[str]:
    """What the cluster held and no execution accounts for; one that came back after a later one;
    and an end that is not the last completed execution's.
    """
    known = {run["id"]: run for run in in_line}
    found = [
        f"{sight.image} of {sight.execution or 'nobody'}"
        for sight in sights
        if sight.execution not in known or sight.image != _image_of(known[sight.execution])
    ]
    indexes = [known[each.execution]["index"] for each in sights if each.execution in known]
    found += [f"#{later} after #{sooner}" for sooner, later in pairwise(indexes) if later < sooner]
    completed = [run for run in in_line if run["status"] == "COMPLETED"]
    if completed and (not sights or sights[-1].execution != completed[-1]["id"]):
        found.append(f"#{completed[-1]['index']} completed last and is not in the cluster")
    return found


def _image_of(run: Document) -> str:
    return f"{run['input']['DOCKER_IMAGE']}:{tag_of(run)}"
