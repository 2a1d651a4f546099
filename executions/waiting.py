"""What a task waits for in a cluster: kept while it waits, for the worker that watches the cluster.

The watching itself is in ``watches``.
"""

from __future__ import annotations

from codestream.core.clock import database_now
from executions.models import RolloutWatch, TaskRun
from executions.runners.base import Watched


def is_covered(task: TaskRun, watched: Watched) -> bool:
    """Whether a watch looks for all of it already."""
    watch = _watch_of(task)
    if watch is None or not watch.is_covered or watch.endpoint_id != watched.endpoint:
        return False
    return {each[:4] for each in watched.sights} <= {tuple(each[:4]) for each in watch.sights}


def keep_watch(task: TaskRun, watched: Watched | None) -> None:
    """Write down what the task waits for, for whoever watches the cluster; None is nothing."""
    watch = _watch_of(task)
    if watched is None:
        if watch is not None:
            # Not the row in memory, which would lose its key although the transaction may fail.
            RolloutWatch.objects.filter(pk=task.pk).delete()
        return
    sights = [list(each) for each in watched.sights]
    if watch is not None and (watch.endpoint_id, watch.sights) == (watched.endpoint, sights):
        return
    told = {"endpoint_id": watched.endpoint, "sights": sights, "told_at": database_now()}
    if watch is None:
        RolloutWatch.objects.create(task=task, **told)
        return
    if not is_covered(task, watched):
        told["is_covered"] = False
    RolloutWatch.objects.filter(pk=watch.pk).update(**told)


def _watch_of(task: TaskRun) -> RolloutWatch | None:
    return getattr(task, "rollout_watch", None)
