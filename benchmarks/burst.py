"""How long a burst of pushes takes until every execution is over, and whether its order held.

``python -m benchmarks.burst [--database sqlite|postgres] [--pushes 200] [--concurrency 50]
[--pipelines 1 [--spread]] [--workers 1]``

The first pipeline gets the whole burst; each further one gets one push in the middle of it, to see
how long a neighbour waits. ``--spread`` deals the burst to all of them alike instead.

The bare limit does what cannot be left out, in one process: for each push one committed INSERT,
``STEPS`` times a claim and a result (each a transaction of two statements), and as many calls to
the cluster, over as many connections, as the product made. Ends with 1 when an execution does not
complete, when a push that was answered before another one was sent ran behind it, or when more
executions of a pipeline ran at once than its concurrency.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from benchmarks.bench import (
    data_folder,
    database_named,
    describe_machine,
    print_table,
    product_at_hand,
    until,
    web_server,
)
from benchmarks.client import Answer, Push, body_of, deliver, tags
from benchmarks.cluster import InstantCluster

if TYPE_CHECKING:
    from benchmarks.scene import Run

CONNECTIONS = 50
END_SECONDS = 600.0
STEPS = 3
"""Judge the delivery, apply, look at the rollout."""
CALLS_A_CONNECTION = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the product did with the burst; times are in seconds."""

    hooks: list[str]
    answers: list[Answer]
    runs: list[Run]
    drained: float
    bare: float
    calls: int
    machine: str


def main() -> int:
    """Measure, print the tables, and return 1 where something ran in a wrong way."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--database", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--pushes", type=int, default=200)
    parser.add_argument("--concurrency", type=int, default=50, help="of each pipeline")
    parser.add_argument("--pipelines", type=int, default=1)
    parser.add_argument("--spread", action="store_true", help="deal the burst to all pipelines")
    parser.add_argument("--workers", type=int, default=1)
    chosen = parser.parse_args()
    outcome = _measure(chosen)
    _print(chosen, outcome)
    problems = [
        *incomplete(outcome.runs),
        *overtaken(outcome.answers, outcome.runs),
        *crowded(outcome.runs, chosen.concurrency),
    ]
    print("\n" + ("\n".join(problems) or "All completed, first in, first out, none too many."))
    return 1 if problems else 0


def _measure(chosen: argparse.Namespace) -> Outcome:
    with (
        data_folder() as folder,
        database_named(chosen.database) as url,
        InstantCluster() as cluster,
        web_server(folder, database_url=url, OUTGOING_ALLOW=cluster.place) as server,
        product_at_hand(server.environment),
    ):
        from benchmarks import scene

        hooks = scene.make_pipelines(
            cluster.url, number=chosen.pipelines, concurrency=chosen.concurrency
        )
        burst = pushes(hooks, chosen.pushes, spread=chosen.spread)
        with scene.workers(server, chosen.workers):
            began = time.time()
            answers = deliver(burst, connections=min(CONNECTIONS, len(burst)))
            until(scene.is_all_over, END_SECONDS)
        runs = scene.runs()
        calls = len(cluster.calls)
        return Outcome(
            hooks=hooks,
            answers=answers,
            runs=runs,
            drained=max(run.finished.timestamp() for run in runs) - began,
            bare=_bare_seconds(burst, cluster.place, calls),
            calls=calls,
            machine=describe_machine(url),
        )


def pushes(hooks: Sequence[str], number: int, *, spread: bool) -> list[Push]:
    """Return the burst in its order; see the module for who gets what."""
    numbered = tags()
    if spread:
        return [Push(hook=hooks[each % len(hooks)], tag=next(numbered)) for each in range(number)]
    burst = [Push(hook=hooks[0], tag=next(numbered)) for _ in range(number)]
    neighbours = [Push(hook=hook, tag=next(numbered)) for hook in hooks[1:]]
    return [*burst[: number // 2], *neighbours, *burst[number // 2 :]]


def _bare_seconds(burst: Sequence[Push], place: str, calls: int) -> float:
    """Do the same with nothing around it."""
    from benchmarks import bare

    bare.create_table()
    began = time.perf_counter()
    for push in burst:
        key = bare.insert(body_of(push.tag))
        for _ in range(STEPS):
            bare.step(key, b"a line of the story")
    for _ in range(calls // CALLS_A_CONNECTION):
        bare.call(place, CALLS_A_CONNECTION)
    return time.perf_counter() - began


def _print(chosen: argparse.Namespace, outcome: Outcome) -> None:
    number = len(outcome.answers)
    delivered = max(each.answered for each in outcome.answers) - min(
        each.sent for each in outcome.answers
    )
    print(
        f"{outcome.machine}\ntwo web processes, {chosen.workers} workers; {chosen.pipelines} "
        f"pipelines of concurrency {chosen.concurrency}; {outcome.calls:,} cluster calls\n"
    )
    rows = [
        ["delivered and answered", number, delivered, number / delivered, ""],
        [
            "all executions over",
            number,
            outcome.drained,
            number / outcome.drained,
            f"{outcome.bare / outcome.drained:.2f}",
        ],
        ["bare writes and calls", number, outcome.bare, number / outcome.bare, "1.00"],
    ]
    print_table(["", "pushes", "seconds", "pushes/s", "of the bare limit"], rows)
    if len(outcome.hooks) > 1 and not chosen.spread:
        _print_neighbours(outcome)


def _print_neighbours(outcome: Outcome) -> None:
    """Tell how long the single pushes waited from being sent to COMPLETED."""
    runs = {run.event: run for run in outcome.runs}
    print("\nThe others, each with one push in the middle of the burst:\n")
    rows = [
        [runs[answer.event].pipeline, runs[answer.event].finished.timestamp() - answer.sent]
        for answer in outcome.answers
        if answer.hook != outcome.hooks[0]
    ]
    print_table(["pipeline", "seconds from push to its end"], rows)


def incomplete(runs: Sequence[Run]) -> list[str]:
    """Name the executions that did not complete."""
    bad = [run for run in runs if run.status != "COMPLETED"]
    return [f"{run.pipeline} #{run.index} ended as {run.status}" for run in bad]


def overtaken(answers: Sequence[Answer], runs: Sequence[Run]) -> list[str]:
    """Name the executions that ran before one whose push had been answered when theirs was sent.

    Pushes that were under way at the same time have no order.
    """
    by_event = {answer.event: answer for answer in answers}
    problems = []
    for runs_in_order in _by_pipeline(runs).values():
        latest = 0.0
        for before, run in zip([None, *runs_in_order], runs_in_order, strict=False):
            answer = by_event[run.event]
            started_late = before is not None and run.started < before.started
            if answer.answered < latest or started_late:
                problems.append(f"{run.pipeline} #{run.index} was overtaken")
            latest = max(latest, answer.sent)
    return problems


def crowded(runs: Sequence[Run], concurrency: int) -> list[str]:
    """Name the pipelines of which more executions ran at once than may."""
    problems = []
    for pipeline, own in _by_pipeline(runs).items():
        # An end before a start of the same moment: the place is free by then.
        changes = sorted([(run.started, 1) for run in own] + [(run.finished, -1) for run in own])
        running = most = 0
        for _at, change in changes:
            running += change
            most = max(most, running)
        if most > concurrency:
            problems.append(f"{most} executions of {pipeline} ran at once")
    return problems


def _by_pipeline(runs: Sequence[Run]) -> Mapping[str, list[Run]]:
    ordered = sorted(runs, key=lambda run: (run.pipeline, run.index))
    return {name: list(own) for name, own in groupby(ordered, key=lambda run: run.pipeline)}


if __name__ == "__main__":
    sys.exit(main())
