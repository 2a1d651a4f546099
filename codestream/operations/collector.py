"""Gauges that are read from the database when Prometheus asks.

Every question is answered from an index over what is alive or due, so a long history costs nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from django.db import Error as AnyDatabaseError
from django.db.models import Count, F, Min, Q, QuerySet
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from codestream import RELEASE
from codestream.core.clock import now
from codestream.core.work import WorkKind, claimable, registered
from executions.models import LIVE, Execution, Worker
from executions.workers import living_workers
from webhooks.models import DockerWebhook, RemoteHook

MOST_COUNTED = 10_000
"""Due rows are counted up to here: more is as bad, and costs more to count."""
logger = logging.getLogger(__name__)


class DatabaseCollector(Collector):
    """How things stand now. A database that fails costs the gauges, not the counters."""

    def describe(self) -> Iterable[Metric]:
        """Name nothing beforehand: that would ask the database at registration."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Return the gauges, and whether the database could be asked."""
        try:
            found, up = list(_gauges()), 1
        except AnyDatabaseError as error:
            logger.error("The gauges of the database are missing: %s", error)
            found, up = [], 0
        yield from found
        yield GaugeMetricFamily("codestream_database_up", "Whether the database answers", value=up)


def due_count(kind: WorkKind) -> int:
    """Count rows of this kind that no living worker holds although they are due, up to a limit."""
    return _due(kind).order_by().values("pk")[:MOST_COUNTED].count()


def oldest_due(kind: WorkKind) -> datetime | None:
    """Return since when the one of them waits that is due longest; None when none waits."""
    return _due(kind).order_by("wake_at").values_list("wake_at", flat=True).first()


def _due(kind: WorkKind) -> QuerySet[Any]:
    """Those behind others in a line as well: nobody takes them sooner for that."""
    return kind.model._default_manager.filter(claimable(living_workers))


def hooks_by_state() -> dict[str, int]:
    """Count the hooks in Docker Hub that are in sync, changed behind our back, kept by hand, on
    their way, and refused.
    """
    by_hand = Q(kept_by=DockerWebhook.MirrorMode.MANUAL)
    failed, drifted = ~by_hand & ~Q(error_code=""), ~by_hand & Q(error_code="") & ~Q(drift="")
    synced = ~by_hand & Q(error_code="", drift="", desired=F("actual"))
    return RemoteHook.objects.aggregate(
        failed=Count("pk", filter=failed),
        drifted=Count("pk", filter=drifted),
        by_hand=Count("pk", filter=by_hand),
        in_sync=Count("pk", filter=synced),
        pending=Count("pk", filter=~by_hand & ~failed & ~drifted & ~synced),
    )


def _gauges() -> Iterator[Metric]:
    yield _labelled("build_info", "The release that runs", "release", {RELEASE: 1})
    yield _labelled("executions", "Executions that are not over", "status", _live_executions())
    yield GaugeMetricFamily(
        "codestream_oldest_queued_seconds",
        "How long the execution has waited that waits longest for a place",
        value=_age(_oldest_queued()),
    )
    kinds = registered()
    yield _labelled(
        "due_rows",
        "Rows that wait for a worker",
        "kind",
        {each.name: due_count(each) for each in kinds},
    )
    yield _labelled(
        "oldest_due_seconds",
        "How long the row has waited that is due longest",
        "kind",
        {each.name: _age(oldest_due(each)) for each in kinds},
    )
    yield _labelled("hooks", "Webhooks kept in Docker Hub", "state", hooks_by_state())
    yield _labelled("workers", "Worker processes", "state", _workers())


def _labelled(
    name: str, words: str, label: str, values: dict[str, int] | dict[str, float]
) -> Metric:
    gauge = GaugeMetricFamily(f"codestream_{name}", words, labels=[label])
    for key, value in values.items():
        gauge.add_metric([key], value)
    return gauge


def _live_executions() -> dict[str, int]:
    rows = Execution.objects.live().order_by().values("status").annotate(number=Count("pk"))
    return {**dict.fromkeys(LIVE, 0), **{row["status"]: row["number"] for row in rows}}


def _oldest_queued() -> datetime | None:
    since: datetime | None = Execution.objects.queued().aggregate(since=Min("created_at"))["since"]
    return since


def _workers() -> dict[str, int]:
    alive = living_workers().count()
    return {"alive": alive, "lost": Worker.objects.count() - alive}


def _age(since: datetime | None) -> float:
    return max((now() - since).total_seconds(), 0.0) if since else 0.0
