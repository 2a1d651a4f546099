"""Executions as their pages show them: segments, stages, the chosen task, the timeline.

Reads what the models hold and never changes anything; asking the database is left to the views.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from django.utils.translation import gettext as _

from codestream.core.json_types import Json, JsonObject
from codestream.core.statuses import Look, look_of
from codestream.core.words import Words, gettext_noop, joined
from endpoints.clients.kubernetes_objects import Change
from executions.models import Execution, ExecutionEvent, ImagePush, StageRun, TaskRun
from executions.states import TERMINAL, Status
from executions.telling import told, words_of

SEGMENTS: Mapping[str, frozenset[Status]] = {
    Status.QUEUED: frozenset({Status.QUEUED, Status.NOT_STARTED}),
    Status.RUNNING: frozenset(
        {
            Status.PREPARING_WORKSPACE,
            Status.STARTED,
            Status.RUNNING,
            Status.PAUSING,
            Status.RESUMING,
            Status.CANCELING,
            Status.ROLLING_BACK,
        }
    ),
    Status.WAITING: frozenset({Status.WAITING, Status.PAUSED}),
    Status.FAILED: frozenset(
        {
            Status.FAILED,
            Status.FAILED_CONTINUE,
            Status.ROLLBACK_COMPLETED,
            Status.ROLLBACK_FAILED,
        }
    ),
    Status.COMPLETED: frozenset({Status.COMPLETED, Status.SKIPPED}),
    Status.CANCELED: frozenset({Status.CANCELED}),
}
"""The filter of the list: every status belongs to exactly one segment."""

_DONE = frozenset({Status.COMPLETED, Status.SKIPPED})
_POD_STATES = {"Succeeded": "COMPLETED", "Failed": "FAILED"}
_CHANGES: Mapping[str, str] = {
    Change.CREATED: gettext_noop("created"),
    Change.CONFIGURED: gettext_noop("configured"),
    Change.UNCHANGED: gettext_noop("unchanged"),
    Change.DELETED: gettext_noop("deleted"),
}
_OBJECT_STATES = {"SENT": "STARTED", "PROGRESSING": "RUNNING"}


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskLink:
    """A task in the strip of stages."""

    task: TaskRun
    here: bool

    @property
    def look(self) -> Look:
        """How its status looks."""
        return look_of(self.task.status)


@dataclass(frozen=True, slots=True, kw_only=True)
class StageColumn:
    """A stage in the strip, with its tasks in order."""

    stage: StageRun
    tasks: tuple[TaskLink, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PodRow:
    """One pod of a rollout; ``reason`` is empty while nothing is wrong with it."""

    name: str
    status: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why an object does not get on: the sentence, and what it was read from."""

    ref: str
    message: Words
    events: tuple[str, ...]
    logs: tuple[Log, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """The last lines of a container."""

    source: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectRow:
    """One Kubernetes object of a task; ``desired`` to ``available`` are numbers of pods."""

    ref: str
    change: str
    status: str
    message: Words
    desired: int
    updated: int
    ready: int
    available: int
    diff: str
    pods: tuple[PodRow, ...]

    @property
    def percent(self) -> int:
        """How much of the rollout is ready, from 0 to 100."""
        return min(100 * self.ready // self.desired, 100) if self.desired else 0

    @property
    def rest(self) -> int:
        """The part of the bar that is still to come."""
        return 100 - self.percent


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskPanel:
    """The chosen task: what it was given, what it did to which object, what it gave."""

    task: TaskRun

    @property
    def is_over(self) -> bool:
        """Whether its output is complete."""
        return self.task.status in TERMINAL

    @property
    def icon(self) -> str:
        """The drawing of its kind."""
        return "kubernetes" if self.task.kind == "K8S" else "play"

    @property
    def objects(self) -> list[ObjectRow]:
        """The objects it reports, in the order they were sent."""
        return [_object_row(each) for each in _objects(self.task.output.get("objects"))]

    @property
    def rollouts(self) -> list[ObjectRow]:
        """The objects that have pods."""
        return [row for row in self.objects if row.desired]

    @property
    def pods(self) -> list[PodRow]:
        """The pods of all rollouts."""
        return [pod for row in self.objects for pod in row.pods]

    @property
    def differences(self) -> list[ObjectRow]:
        """The objects of which it is known what was changed."""
        return [row for row in self.objects if row.diff]

    @property
    def failures(self) -> list[Failure]:
        """Why objects do not get on, with events and logs."""
        return [_failure(each) for each in _objects(self.task.output.get("failures"))]

    @property
    def pushes(self) -> list[ImagePush]:
        """The images that it pushed, or is about to push."""
        return list(self.task.image_pushes.all())

    @property
    def input(self) -> list[tuple[str, str]]:
        """What it was given, by name; a text as it is, anything else as JSON."""
        return [(name, _text(value)) for name, value in self.task.input.items()]

    @property
    def output(self) -> str:
        """All of its output as JSON, as programs get it; empty where there is none."""
        return _text(told(self.task.output)) if self.task.output else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineEntry:
    """One thing that happened."""

    event: ExecutionEvent

    @property
    def subject(self) -> str:
        """What a person asked for, or the name of what it happened to, which is not translated."""
        is_asked = self.event.kind == "request" and self.event.task_run_id is None
        return _(self.event.subject) if is_asked else self.event.subject

    @property
    def look(self) -> Look:
        """How the status that it led to looks; a note where it led to none."""
        return look_of(self.event.to_status or "info")


def image_of(execution: Execution) -> str:
    """``image:tag`` of the push that the execution runs for, empty without one."""
    image, tag = (execution.inputs.get(name) for name in ("DOCKER_IMAGE", "DOCKER_TAG"))
    return f"{image}:{tag}" if image and tag else str(image or "")


def message_of(execution: Execution) -> Words:
    """What its message adds to the status that stands beside it; empty where it adds nothing."""
    said = execution.message.removeprefix("Execution ").rstrip(".").upper().replace(" ", "_")
    return Words("") if said == execution.status else execution.words


def held(stages: Iterable[StageRun]) -> list[TaskRun]:
    """The tasks that wait for an administrator because of something restricted."""
    tasks = [task for stage in stages for task in stage.tasks.all()]
    return [task for task in tasks if task.status == Status.WAITING and task.held_for]


def choose_task(stages: Sequence[StageRun], wanted: str) -> TaskRun | None:
    """The task with the key ``wanted``; without one the task that matters most now.

    That is the one that is alive, else the first that failed, else the last that ran. None when
    no task has this key, or there is no task at all.
    """
    tasks = [task for stage in stages for task in stage.tasks.all()]
    if wanted:
        return next((task for task in tasks if str(task.pk) == wanted), None)
    begun = [task for task in tasks if task.status != Status.NOT_STARTED]
    alive = [task for task in begun if task.status not in TERMINAL]
    failed = [task for task in begun if task.status == Status.FAILED]
    return next(iter([*alive, *failed, *reversed(begun), *tasks]), None)


def columns(stages: Iterable[StageRun], chosen: TaskRun | None) -> list[StageColumn]:
    """The strip of stages, with the chosen task marked."""
    here = chosen.pk if chosen else None
    return [
        StageColumn(
            stage=stage,
            tasks=tuple(TaskLink(task=task, here=task.pk == here) for task in stage.tasks.all()),
        )
        for stage in stages
    ]


def progress(stages: Iterable[StageRun]) -> str:
    """``1 of 5 stages done, 3 of 10 tasks``; what failed or was canceled is not done."""
    every = list(stages)
    tasks = [task for stage in every for task in stage.tasks.all()]
    return _("%(stages)s of %(all_stages)s stages done, %(tasks)s of %(all_tasks)s tasks") % {
        "stages": sum(stage.status in _DONE for stage in every),
        "all_stages": len(every),
        "tasks": sum(task.status in _DONE for task in tasks),
        "all_tasks": len(tasks),
    }


def headline(execution: Execution, task: TaskRun | None) -> Words:
    """The one sentence of the page: what came of it, or what the task that runs says."""
    if execution.message or execution.is_over or task is None or not task.message:
        return message_of(execution)
    name = f"{task.stage_run.name}.{task.name}"
    return joined([name, task.words], by=": ")


def _object_row(reported: JsonObject) -> ObjectRow:
    state = str(reported.get("state", ""))
    return ObjectRow(
        ref=str(reported.get("ref", "")),
        change=_change(str(reported.get("change", ""))),
        status=_OBJECT_STATES.get(state, state),
        message=words_of(reported),
        desired=_number(reported.get("desired")),
        updated=_number(reported.get("updated")),
        ready=_number(reported.get("ready")),
        available=_number(reported.get("available")),
        diff=str(reported.get("diff", "")),
        pods=tuple(_pod_row(each) for each in _objects(reported.get("pods"))),
    )


def _change(change: str) -> str:
    """What was done to the object; empty before anything is."""
    word = _CHANGES.get(change, "")
    return _(word) if word else ""


def _pod_row(reported: JsonObject) -> PodRow:
    ready, phase = reported.get("ready") is True, str(reported.get("phase", ""))
    reason = str(reported.get("reason", ""))
    return PodRow(
        name=str(reported.get("name", "")),
        status="READY" if ready else _POD_STATES.get(phase, "FAILED" if reason else "RUNNING"),
        reason=reason or phase,
    )


def _failure(reported: JsonObject) -> Failure:
    return Failure(
        ref=str(reported.get("ref", "")),
        message=words_of(reported),
        events=tuple(str(each) for each in _list(reported.get("events"))),
        logs=tuple(
            Log(
                source=f"{each.get('pod', '')} / {each.get('container', '')}",
                text="\n".join(str(line) for line in _list(each.get("lines"))),
            )
            for each in _objects(reported.get("logs"))
        ),
    )


def _objects(value: Json) -> list[JsonObject]:
    return [each for each in _list(value) if isinstance(each, dict)]


def _number(value: Json) -> int:
    return value if isinstance(value, int) else 0


def _list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []


def _text(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
