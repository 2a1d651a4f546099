"""How other tools that take webhooks do on this machine, beside the product, by the same measures.

``python -m benchmarks.beside --tool buildbot|codestream|webhook [--programs FOLDER]
[--database sqlite|postgres] [--at-once 4] [--clients 4] [--seconds 3] [--pushes 200]
[--single 50]``

All get the same pushes from the same senders:

- **buildbot** stores each as a change, and builds it in one step, a curl that calls the cluster
  once (``buildbot.cfg``). A worker runs one build of a builder at a time, so that as many workers
  are started as builds are to run at once.
- **codestream** runs the pipeline of the other benchmarks, which calls the cluster twice.
- **webhook** starts a command, which adds a byte to a file, and stores nothing. It has no builds
  that could be waited for: only its intake is measured.

The latency is that of one push at a time. The processor time is that of all programs of the tool
and its database, from the first push of the burst to the end of its last build. The intake *at
work* comes while builds run for it, which are not waited for. Ends with 1 when a push was not
answered with 200 or left no trace, and with an error when a build comes to no good end.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from benchmarks.bench import (
    data_folder,
    database_named,
    describe_machine,
    percentile,
    print_table,
    processor_seconds,
    until,
)
from benchmarks.client import Answer, Push, Senders, deliver, tags
from benchmarks.cluster import InstantCluster
from benchmarks.intake import Line
from benchmarks.peers import TOOLS, Running, Setting

CONNECTIONS = 50
END_SECONDS = 600.0
PAUSE_SECONDS = 0.1
ROUNDS = 3
WARM_UP = 3
FIRST_TAG = 10**11
"""Beyond those of the senders."""


def main() -> int:
    """Measure, print the tables, and return 1 where a push was lost or refused."""
    chosen = _parser().parse_args()
    with (
        data_folder() as folder,
        database_named(chosen.database) as url,
        InstantCluster() as cluster,
        TOOLS[chosen.tool](
            Setting(
                folder=folder,
                database_url=url,
                cluster=cluster,
                programs=chosen.programs,
                at_once=chosen.at_once,
            )
        ) as tool,
        Senders(chosen.clients) as senders,
    ):
        print(f"{describe_machine(url)}\n{tool.about}; {chosen.clients} clients\n", flush=True)
        intakes, lost = [], 0
        if tool.at_work:
            with tool.at_work() as running:
                answers = _work(running, cluster, single=chosen.single, together=chosen.pushes)
                intakes.append(_intake("intake, at work", running, senders, chosen.seconds))
                lost += running.lost([*answers, *intakes[-1].answers])
        with tool.accepting() as running:
            intakes.append(_intake("intake", running, senders, chosen.seconds))
            lost += running.lost(intakes[-1].answers)
    rows = [
        [line.name, line.rate, *_middle_and_end(each.milliseconds for each in line.answers)]
        for line in intakes
    ]
    print_table(["", "pushes/s", "p50 ms", "p99 ms"], rows)
    wrong = sum(answer.status != 200 for line in intakes for answer in line.answers)
    print(f"\n{wrong} pushes not answered with 200; lost: {lost}")
    return 1 if wrong or lost else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tool", choices=sorted(TOOLS), required=True)
    parser.add_argument("--programs", help="folder of the tool's programs; else those on PATH")
    parser.add_argument("--database", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--at-once", type=int, default=4, help="builds or executions")
    parser.add_argument("--clients", type=int, default=4, help="processes that push")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each turn of an intake")
    parser.add_argument("--pushes", type=int, default=200, help="of the burst")
    parser.add_argument("--single", type=int, default=50, help="pushes, one at a time")
    return parser


def _work(running: Running, cluster: InstantCluster, *, single: int, together: int) -> list[Answer]:
    """Print latency and burst; return the answers to their pushes."""
    pushes = (Push(hook=running.hook, tag=tag) for tag in tags(FIRST_TAG))
    waits = list(_latencies(running, cluster, islice(pushes, WARM_UP + single)))
    counted = waits[WARM_UP:]
    rows = [
        ["first call, from the answer", *_middle_and_end(wait for _, wait in counted)],
        ["from the push", *_middle_and_end(each.milliseconds + wait for each, wait in counted)],
    ]
    print_table(["", "p50 ms", "p99 ms"], rows)
    answers = _burst(running, list(islice(pushes, together)))
    return [*(answer for answer, _wait in waits), *answers]


def _latencies(
    running: Running, cluster: InstantCluster, pushes: Iterable[Push]
) -> Iterator[tuple[Answer, float]]:
    """Push one by one; with each answer the milliseconds from it to the first call."""
    for completed, push in enumerate(pushes, start=running.completed() + 1):
        time.sleep(PAUSE_SECONDS)
        cluster.calls.clear()
        (answer,) = deliver([push])
        _until_completed(running, completed)
        yield answer, (cluster.calls[0].at - answer.answered) * 1000


def _burst(running: Running, pushes: Sequence[Push]) -> list[Answer]:
    number, completed = len(pushes), running.completed()
    began, used = time.time(), processor_seconds()
    answers = deliver(pushes, connections=min(CONNECTIONS, number))
    delivered = time.time() - began
    _until_completed(running, completed + number)
    over, used = time.time() - began, processor_seconds() - used
    rows = [
        ["burst, answered", number, delivered, number / delivered, ""],
        ["burst, all over", number, over, number / over, f"{used * 1000 / number:.0f}"],
    ]
    print()
    print_table(["", "pushes", "seconds", "pushes/s", "processor ms a push"], rows)
    print(flush=True)
    return answers


def _until_completed(running: Running, number: int) -> None:
    until(lambda: running.completed() >= number, END_SECONDS)


def _intake(name: str, running: Running, senders: Senders, seconds: float) -> Line:
    line = Line(name=name)
    for _ in range(ROUNDS):
        line.add(senders.push_for(seconds, running.hook))
    return line


def _middle_and_end(values: Iterable[float]) -> list[float]:
    known = list(values)
    return [percentile(known, share) for share in (0.5, 0.99)]


if __name__ == "__main__":
    sys.exit(main())
