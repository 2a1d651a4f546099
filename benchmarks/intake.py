"""How many pushes a second are written down, and how soon they are answered.

``python -m benchmarks.intake [--database sqlite|postgres] [--clients 4] [--seconds 1.5]``

The bare limit is a view that does one INSERT of the same body and nothing else, under the same
web server and database; it takes turns with the receiver. Ends with 1 when a push that was answered
with 200 is not stored, or when one was answered otherwise.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.bench import (
    data_folder,
    database_named,
    describe_machine,
    percentile,
    print_table,
    product_at_hand,
    web_server,
    web_server_like,
)
from benchmarks.client import Answer, Senders, body_of
from benchmarks.cluster import InstantCluster

ROUNDS = 12
"""In each the senders connect anew: it is chance how many of them each web process serves."""


@dataclass(slots=True, kw_only=True)
class Line:
    """What one of the compared things did in all its turns together."""

    name: str
    seconds: float = 0.0
    answers: list[Answer] = field(default_factory=list)

    def add(self, answers: Sequence[Answer]) -> None:
        """Add a turn, which lasted from the first push to the last answer."""
        self.answers += answers
        began, ended = min(each.sent for each in answers), max(each.answered for each in answers)
        self.seconds += ended - began

    @property
    def rate(self) -> float:
        """Pushes a second that were answered with 200."""
        return sum(answer.status == 200 for answer in self.answers) / self.seconds


def main() -> int:
    """Measure, print the table, and return 1 where a push was lost or refused."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--database", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--clients", type=int, default=4, help="processes that push")
    parser.add_argument("--seconds", type=float, default=1.5, help="of each turn")
    parser.add_argument("--web-processes", type=int, default=2)
    chosen = parser.parse_args()
    product, working, bare, lost = _measure(chosen)
    wrong = sum(answer.status != 200 for line in (product, working) for answer in line.answers)
    rows = [
        [
            line.name,
            line.rate,
            *(percentile([each.milliseconds for each in line.answers], at) for at in (0.5, 0.99)),
            f"{line.rate / bare.rate:.2f}",
        ]
        for line in (product, working, bare)
    ]
    print_table(["", "pushes/s", "p50 ms", "p99 ms", "of the bare limit"], rows)
    answered = len(product.answers) + len(working.answers)
    print(f"\n{answered:,} pushes answered, {wrong} of them not with 200; lost: {lost}")
    return 1 if lost or wrong else 0


def _measure(chosen: argparse.Namespace) -> tuple[Line, Line, Line, int]:
    product, bare = Line(name="receiver, no worker"), Line(name="bare INSERT")
    working = Line(name="receiver, a worker at work")
    with (
        data_folder() as folder,
        database_named(chosen.database) as url,
        InstantCluster() as cluster,
        web_server(
            folder,
            database_url=url,
            OUTGOING_ALLOW=cluster.place,
            WEB_PROCESSES=str(chosen.web_processes),
        ) as server,
        product_at_hand(server.environment),
        web_server_like(server, settings_module="benchmarks.bare.settings") as bare_server,
        Senders(chosen.clients) as senders,
    ):
        from benchmarks import scene
        from benchmarks.bare import create_table

        create_table()
        hook = scene.make_pipelines(cluster.url)[0]
        print(
            f"{describe_machine(url)}\n"
            f"deploy/gunicorn.py with WEB_PROCESSES={chosen.web_processes}; {chosen.clients} "
            f"clients, {len(body_of('0' * 14))} bytes each; {ROUNDS} turns, {chosen.seconds:g} s\n"
        )
        for place in (hook, f"{bare_server.url}/"):
            senders.push_for(min(1.0, chosen.seconds), place)  # warms up
        for _ in range(ROUNDS):
            product.add(senders.push_for(chosen.seconds, hook))
            bare.add(senders.push_for(chosen.seconds, f"{bare_server.url}/"))
        with scene.workers(server):
            for _ in range(ROUNDS):
                working.add(senders.push_for(chosen.seconds, hook))
        stored = scene.stored_events()
        answers = [*product.answers, *working.answers]
        return product, working, bare, sum(each.event not in stored for each in answers)


if __name__ == "__main__":
    sys.exit(main())
