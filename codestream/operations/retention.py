"""What is kept for how long. Only what is over is ever deleted: executions that ended, deliveries
that have their verdict, counts of refused ones, sessions that expired, logs that have grown.

Everything goes in small transactions. A limit of 0 keeps for ever.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.sessions.models import Session
from django.db import connection, transaction
from django.db.models import Exists, OuterRef, QuerySet

from codestream.core.clock import now
from codestream.operations.chores import Outcome, OutOfTime, PeriodicWork
from codestream.operations.log_files import LogPolicy, rotate, to_rotate
from executions.models import ENDED, Execution, TaskRun
from pipelines.models import Pipeline
from webhooks.matching import Verdict
from webhooks.models import Push, RefusedDelivery, RegistryEvent

BATCH = 200
EXECUTIONS_BATCH = 50
"""Executions take their stages, tasks and events along, so fewer of them go at a time."""
LONGEST_PAUSE_SECONDS = 1.0
EVERY = timedelta(hours=1)
Rows = QuerySet[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outdated:
    """Rows that may go. ``find`` gives them in parts, each behind an index."""

    name: str
    find: Callable[[], Iterator[Rows]]
    batch: int = BATCH


def old_executions() -> Iterator[Rows]:
    """Executions that ended RETENTION_EXECUTIONS_DAYS ago, and all but the newest
    RETENTION_EXECUTIONS_PER_PIPELINE of each pipeline.
    """
    if days := settings.RETENTION_EXECUTIONS_DAYS:
        limit = now() - timedelta(days=days)
        rows = _deletable().filter(created_at__lt=limit, finished_at__lt=limit)
        # In the order of an index, which ends the search as soon as nothing is that old.
        yield rows.order_by("created_at")
    if keep := settings.RETENTION_EXECUTIONS_PER_PIPELINE:
        for pipeline in Pipeline.objects.filter(next_index__gt=keep + 1).order_by("pk"):
            ended = Execution.objects.filter(pipeline=pipeline, status__in=ENDED)
            newest = ended.order_by("-index").values_list("index", flat=True)
            first_to_go = newest[keep : keep + 1].first()
            if first_to_go is not None:
                rows = _deletable().filter(pipeline=pipeline, index__lte=first_to_go)
                yield rows.order_by("index")


def old_events() -> Iterator[Rows]:
    """Deliveries with a verdict, RETENTION_EVENTS_DAYS old.

    One that a later duplicate names stays until that one goes, and one that runs again until that
    is judged.
    """
    if days := settings.RETENTION_EVENTS_DAYS:
        rows = RegistryEvent.objects.filter(created_at__lt=now() - timedelta(days=days))
        named = RegistryEvent.objects.filter(duplicate_of=OuterRef("pk"))
        judged = rows.exclude(verdict=Verdict.PENDING).filter(wake_at=None)
        again = RegistryEvent.objects.pending().filter(rerun_of=OuterRef("pk"))
        yield judged.exclude(Exists(named)).exclude(Exists(again)).order_by("created_at")


def old_pushes() -> Iterator[Rows]:
    """Pushes of a tag that is another one by now, RETENTION_EVENTS_DAYS old, whose deliveries are
    gone; those of a task that is not over say which of its pushes were told of.
    """
    if days := settings.RETENTION_EVENTS_DAYS:
        rows = Push.objects.filter(is_current=False, created_at__lt=now() - timedelta(days=days))
        told = RegistryEvent.objects.filter(push=OuterRef("pk"))
        making = TaskRun.objects.filter(finished_at=None, image_pushes=OuterRef("made_by"))
        yield rows.exclude(Exists(told)).exclude(Exists(making)).order_by("created_at")


def old_refusals() -> Iterator[Rows]:
    """Counts of attempts without a valid token, as old as deliveries may become."""
    if days := settings.RETENTION_EVENTS_DAYS:
        rows = RefusedDelivery.objects.filter(minute__lt=now() - timedelta(days=days))
        yield rows.order_by()


def expired_sessions() -> Iterator[Rows]:
    """Sessions that nobody can use any more."""
    yield Session.objects.filter(expire_date__lt=now()).order_by("expire_date")


OUTDATED = (
    Outdated(name="executions", find=old_executions, batch=EXECUTIONS_BATCH),
    Outdated(name="deliveries", find=old_events),
    Outdated(name="pushes", find=old_pushes),
    Outdated(name="refused deliveries", find=old_refusals),
    Outdated(name="sessions", find=expired_sessions),
)


def log_policy() -> LogPolicy:
    """Return what the settings say about log files."""
    return LogPolicy(
        folder=settings.DATA_DIR / "logs",
        most_bytes=settings.RETENTION_LOGS_MB * 1024 * 1024,
        days=settings.RETENTION_LOGS_DAYS,
        keep=settings.RETENTION_LOGS_FILES,
    )


def survey() -> dict[str, int]:
    """Count what would go, by its name; deletes nothing."""
    counts = {each.name: _count(each) for each in OUTDATED}
    return {**counts, "log files": len(to_rotate(log_policy()))}


def clean(out_of_time: OutOfTime) -> tuple[dict[str, int], bool]:
    """Delete what is outdated until the time is up; return counts, and whether there is more."""
    counts: dict[str, int] = {}
    for each in OUTDATED:
        counts[each.name], more = _delete(each, out_of_time)
        if more:
            return counts, True
    return counts, False


def _run(out_of_time: OutOfTime) -> Outcome:
    counts, more = clean(out_of_time)
    return Outcome(message=in_words(counts), more=more)


def _run_logs(_out_of_time: OutOfTime) -> Outcome:
    return Outcome(message=in_words({"log files": len(rotate(log_policy()))}))


def in_words(counts: dict[str, int]) -> str:
    """``3 executions, 12 sessions deleted``, or that there was nothing."""
    found = [f"{count} {name}" for name, count in counts.items() if count]
    return f"{', '.join(found)} deleted." if found else "Nothing to delete."


CHORES = (
    PeriodicWork(name="retention", every=EVERY, run=_run),
    PeriodicWork(name="logs", every=timedelta(minutes=10), run=_run_logs),
)


def _deletable() -> QuerySet[Execution]:
    """Over, and neither the parent nor the model of one that is not, nor being undone by it.

    What is over has an end. Not asked by status: an index of that leads to all that live, once for
    each row, or is sorted again for each batch.
    """
    live = Execution.objects.filter(finished_at__isnull=True)
    rows = Execution.objects.filter(finished_at__isnull=False)
    for needed in ("parent", "rerun_of", "undoes__stage_run__execution"):
        rows = rows.exclude(Exists(live.filter(**{needed: OuterRef("pk")})))
    return rows


def _count(each: Outdated) -> int:
    keys = {pk for rows in each.find() for pk in rows.values_list("pk", flat=True).iterator()}
    return len(keys)


def _delete(each: Outdated, out_of_time: OutOfTime) -> tuple[int, bool]:
    done, left_alone = 0, set[Any]()
    for rows in each.find():
        while keys := list(
            rows.exclude(pk__in=left_alone).values_list("pk", flat=True)[: each.batch]
        ):
            if out_of_time():
                return done, True
            began = time.monotonic()
            done += _delete_batch(rows, keys)
            # Somebody else has what is still there at the moment, or needs it since just now.
            left_alone.update(rows.filter(pk__in=keys).order_by().values_list("pk", flat=True))
            # Everybody else who writes gets a turn.
            time.sleep(min(time.monotonic() - began, LONGEST_PAUSE_SECONDS))
    return done, False


def _delete_batch(rows: Rows, keys: list[Any]) -> int:
    """Delete those of the rows that still may go; one transaction, without reading the bodies.

    They are locked before it is asked once more whether they may: from then on nobody can begin to
    refer to one of them.
    """
    own = rows.model._base_manager.filter(pk__in=keys)
    skip_locked = connection.features.has_select_for_update_skip_locked
    with transaction.atomic():
        free = list(own.select_for_update(skip_locked=skip_locked).values_list("pk", flat=True))
        _total, by_model = rows.filter(pk__in=free).order_by().only("pk").delete()
    return by_model.get(rows.model._meta.label, 0)
