"""How soon an idle product calls the cluster after a push.

``python -m benchmarks.latency [--database sqlite|postgres] [--pushes 50]``

One push at a time, the next after the end of what it started and a pause. Counted from the moment
at which the delivery was stored (``created_at``, taken just before its row is written, so that the
commit counts as well) to the first call that reaches the cluster: with one execution at a time it
is this execution's. In between a worker of another process hears of it, judges it, starts the
execution and its first task.

The bare limit is one committed INSERT of the same body, and one call to the cluster over a new
connection, in one process that knows what to do. Ends with 1 when an execution does not complete.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import islice

from benchmarks.bench import (
    data_folder,
    database_named,
    describe_machine,
    percentile,
    print_table,
    product_at_hand,
    until,
    web_server,
)
from benchmarks.client import Push, body_of, deliver, tags
from benchmarks.cluster import InstantCluster

PAUSE_SECONDS = 0.1
END_SECONDS = 60.0
WARM_UP = 3


def main() -> int:
    """Measure, print the table, and return 1 where an execution did not complete."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--database", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--pushes", type=int, default=50)
    chosen = parser.parse_args()
    with data_folder() as folder, database_named(chosen.database) as url, InstantCluster() as near:
        allowed = {"OUTGOING_ALLOW": near.place}
        with (
            web_server(folder, database_url=url, **allowed) as server,
            product_at_hand(server.environment),
        ):
            from benchmarks import scene

            hook = scene.make_pipelines(near.url)[0]
            with scene.workers(server):
                took = list(_latencies(hook, near, chosen.pushes))
            bare = list(_bare_latencies(near, chosen.pushes))
            completed = [run.status == "COMPLETED" for run in scene.runs()]
            machine = describe_machine(url)
    print(f"{machine}\ntwo web processes, one worker; {chosen.pushes} pushes, one at a time\n")
    limit = percentile(bare, 0.5)
    rows = [_row("stored push to first cluster call", took, limit)]
    rows.append(_row("bare INSERT and call", bare, limit))
    print_table(["", "p50 ms", "p99 ms", "bare p50 / p50"], rows)
    print(f"\n{sum(completed)} of {len(completed)} executions completed")
    return 0 if all(completed) else 1


def _row(name: str, took: Sequence[float], limit: float) -> list[object]:
    p50, p99 = (percentile(took, share) for share in (0.5, 0.99))
    return [name, p50, p99, f"{limit / p50:.2f}"]


def _latencies(hook: str, cluster: InstantCluster, pushes: int) -> Iterator[float]:
    """Push one by one; milliseconds each."""
    from benchmarks import scene

    for number, tag in enumerate(islice(tags(), WARM_UP + pushes)):
        time.sleep(PAUSE_SECONDS)
        cluster.calls.clear()
        deliver([Push(hook=hook, tag=tag)])
        until(scene.is_all_over, END_SECONDS)
        if number >= WARM_UP:
            yield (cluster.calls[0].at - scene.newest_event().timestamp()) * 1000


def _bare_latencies(cluster: InstantCluster, times: int) -> Iterator[float]:
    """Do the same with nothing around it; milliseconds each."""
    from benchmarks import bare

    bare.create_table()
    for tag in islice(tags(), times):
        time.sleep(PAUSE_SECONDS)
        cluster.calls.clear()
        began = time.time()
        bare.insert(body_of(tag))
        bare.call(cluster.place, 1)
        yield (cluster.calls[0].at - began) * 1000


if __name__ == "__main__":
    sys.exit(main())
