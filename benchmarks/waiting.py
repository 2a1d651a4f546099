"""What a worker costs while thousands of executions wait.

``python -m benchmarks.waiting [--database sqlite|postgres] [--executions 10000] [--seconds 60]``

Three times the same worker, which starts anew each time:

- idle: nothing waits; the limit that the others are compared with;
- held: half of them wait for a person (no time), half for a time in an hour's reach;
- rollouts: all follow a rollout that does not end, in a cluster that the worker watches; they are
  as a worker before this one has left them.

Memory is what is resident at the end, the core's share is measured over the seconds, and the lag is
how long the first row in line had waited when looked at, once a second. Ends with 1 when an
execution that waits is no longer there to wait.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.bench import (
    WebServer,
    data_folder,
    database_named,
    describe_machine,
    percentile,
    print_table,
    product_at_hand,
    usage_of,
    web_server,
)
from benchmarks.cluster import InstantCluster

DEPLOYMENT = "/apis/apps/v1/namespaces/demo/deployments/web"
SETTLE_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What the worker took while so many executions waited."""

    name: str
    waiting: int
    memory_mib: float
    core: float
    lags: list[float]
    calls_per_second: float


def main() -> int:
    """Measure, print the table, and return 1 where an execution stopped waiting."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--database", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--executions", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=60.0, help="of each measurement")
    chosen = parser.parse_args()
    costs, machine = _measure(chosen)
    print(f"{machine}\none worker, {chosen.seconds:g} s each\n")
    idle = costs[0]
    rows = [
        [
            cost.name,
            cost.waiting,
            cost.memory_mib,
            f"{cost.core:.3f}",
            percentile(cost.lags, 0.5),
            max(cost.lags),
            cost.calls_per_second,
            f"{cost.memory_mib / idle.memory_mib:.2f}, {cost.core / idle.core:.1f}",
        ]
        for cost in costs
    ]
    head = ["", "waiting", "MiB", "of a core", "lag p50 s", "lag max s", "cluster calls/s"]
    print_table([*head, "to idle: memory, core"], rows)
    gone = sum(cost.waiting for cost in costs) - 2 * chosen.executions
    print(f"\n{-gone} executions no longer wait" if gone else "\nAll of them still wait.")
    return 1 if gone else 0


def _measure(chosen: argparse.Namespace) -> tuple[list[Cost], str]:
    with (
        data_folder() as folder,
        database_named(chosen.database) as url,
        InstantCluster(ready=False) as cluster,
        web_server(folder, database_url=url, OUTGOING_ALLOW=cluster.place) as server,
        product_at_hand(server.environment),
    ):
        from benchmarks import resting, scene

        scene.make_pipelines(cluster.url)
        manifest = {"apiVersion": "apps/v1", "kind": "Deployment", "spec": {}}
        cluster.hold(DEPLOYMENT, {**manifest, "metadata": {"name": "web", "namespace": "demo"}})
        scenes: dict[str, Callable[[], None]] = {
            "idle": lambda: None,
            "held": lambda: resting.hold(chosen.executions),
            "rollouts": lambda: resting.roll_out(chosen.executions),
        }
        costs = []
        for name, prepare in scenes.items():
            prepare()
            costs.append(_cost(name, server, cluster, chosen.seconds))
            resting.forget()
        return costs, describe_machine(url)


def _cost(name: str, server: WebServer, cluster: InstantCluster, seconds: float) -> Cost:
    from benchmarks import resting, scene

    with scene.workers(server) as (pid,):
        time.sleep(min(SETTLE_SECONDS, seconds))
        before, calls, began = usage_of(pid), len(cluster.calls), time.monotonic()
        lags = _lags(seconds)
        after, passed = usage_of(pid), time.monotonic() - began
        return Cost(
            name=name,
            waiting=resting.count(),
            memory_mib=after.memory_mib,
            core=(after.cpu_seconds - before.cpu_seconds) / passed,
            lags=lags,
            calls_per_second=(len(cluster.calls) - calls) / passed,
        )


def _lags(seconds: float) -> list[float]:
    """Look once a second, and once more at the end, how long the first in line has waited."""
    from benchmarks import resting

    deadline, lags = time.monotonic() + seconds, []
    while (left := deadline - time.monotonic()) > 0:
        time.sleep(min(1.0, left))
        lags.append(resting.lag())
    return lags


if __name__ == "__main__":
    sys.exit(main())
