"""Executions whose tasks do what a test tells them, and the story that they leave behind."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta

import yaml

from codestream.accounts.models import User
from codestream.core.clock import now
from codestream.core.errors import CodeStreamError
from codestream.core.work import wake
from codestream.projects.models import Project
from executions.models import Execution, ExecutionEvent, StageRun, TaskRun
from executions.runners.base import Done, Hold, Outcome, TaskContext, Wait
from executions.services import start_execution
from executions.states import TRANSITIONS, Status
from executions.worker import drain
from pipelines.models import Pipeline
from tests.factories import PipelineFactory, ProjectFactory, UserFactory

Act = Outcome | CodeStreamError | Callable[[TaskContext], Outcome]
Change = tuple[str, str, str]


class Puppets:
    """A runner: each task does what ``acts`` says of its name, else it completes at once."""

    def __init__(self) -> None:
        self.acts: dict[str, Act] = {}
        self.calls: list[str] = []

    def start(self, context: TaskContext) -> Outcome:
        return self._step("start", context)

    def poll(self, context: TaskContext) -> Outcome:
        return self._step("poll", context)

    def cancel(self, context: TaskContext) -> None:
        self.calls.append(f"cancel {context.input['name']}")

    def tell(self, execution: Execution, name: str, act: Act) -> None:
        """Tell a task that lives what to do from now on, and let the workers work."""
        self.acts[name] = act
        wake(TaskRun, task_of(execution, name).pk)
        drain()

    def _step(self, verb: str, context: TaskContext) -> Outcome:
        name = str(context.input["name"])
        self.calls.append(f"{verb} {name}")
        act = self.acts.get(name, Done(message="fine"))
        if isinstance(act, CodeStreamError):
            raise act
        return act(context) if callable(act) else act


class Busy(CodeStreamError):
    """An outside system that may answer later."""

    retryable = True


def working() -> Wait:
    """A task at work, until it is told something else."""
    return Wait(until=now() + timedelta(hours=1), message="working", cursor={"seen": True})


def asking(question: str = "go on?") -> Hold:
    """A task that waits for a person."""
    return Hold(message=question, cursor={"seen": True})


def pipeline_of(
    *stages: str,
    name: str = "scripted",
    project: Project | None = None,
    concurrency: int = 10,
    inputs: Mapping[str, str] | None = None,
    conditions: Mapping[str, str] | None = None,
    rollbacks: Iterable[Mapping[str, object]] = (),
) -> Pipeline:
    """A pipeline of puppets. A stage reads ``Main: a b, c?``: groups are parted by commas, the
    tasks of a group by blanks; what ends with ``?`` may fail.
    """
    named = dict(stage.split(": ") for stage in stages)
    source = {
        "name": name,
        "concurrency": concurrency,
        "input": dict(inputs or {}),
        "stageOrder": [*named],
        "stages": {stage: _stage(groups, conditions or {}) for stage, groups in named.items()},
        "rollbacks": [dict(rollback) for rollback in rollbacks],
    }
    made: Pipeline = PipelineFactory.create(
        name=name,
        project=project or ProjectFactory(),
        concurrency=concurrency,
        source=yaml.safe_dump(source),
    )
    return made


def _stage(groups: str, conditions: Mapping[str, str]) -> dict[str, object]:
    words = groups.replace(",", " ").split()
    tasks = {}
    for word in words:
        name = word.rstrip("?")
        tasks[name] = {
            "type": "PUPPET",
            "ignoreFailure": word.endswith("?"),
            "preCondition": conditions.get(name, ""),
            "input": {"name": name},
        }
    order = [",".join(group.replace("?", "").split()) for group in groups.split(",")]
    return {"taskOrder": order, "tasks": tasks}


def start(pipeline: Pipeline, **inputs: str) -> Execution:
    """Start it and let the workers work until nothing is due."""
    user: User = UserFactory.create()
    execution = start_execution(pipeline=pipeline, inputs=inputs, run_as=user, triggered_by="ann")
    drain()
    execution.refresh_from_db()
    return execution


def task_of(execution: Execution, name: str) -> TaskRun:
    return TaskRun.objects.get(stage_run__execution=execution, name=name)


def statuses(execution: Execution) -> dict[str, str]:
    """The execution's status under its empty name, and those of its tasks."""
    execution.refresh_from_db()
    tasks = TaskRun.objects.filter(stage_run__execution=execution)
    return {"": execution.status, **{task.name: task.status for task in tasks}}


def story(execution: Execution) -> list[Change]:
    """Every change of state in order, as (whose, from, to), and every request of a person."""
    told = execution.events.exclude(kind="progress")
    return [(event.subject, event.from_status, event.to_status) for event in told]


def gaps() -> list[str]:
    """Where the stories of all executions do not lead to how their rows stand, step by step."""
    return [gap for execution in Execution.objects.all() for gap in _gaps_of(execution)]


def _gaps_of(execution: Execution) -> Iterable[str]:
    events = list(execution.events.exclude(to_status=""))
    own = [event for event in events if event.kind == "execution"]
    yield from _breaks(execution, "", own)
    for stage in StageRun.objects.filter(execution=execution):
        told = [each for each in events if each.kind == "stage" and each.subject == stage.name]
        yield from _breaks(stage, Status.NOT_STARTED, told)
    for task in TaskRun.objects.filter(stage_run__execution=execution):
        told = [event for event in events if event.task_run_id == task.pk]
        yield from _breaks(task, Status.NOT_STARTED, told)


def _breaks(
    row: Execution | StageRun | TaskRun, status: str, told: Iterable[ExecutionEvent]
) -> Iterable[str]:
    for event in told:
        if event.from_status != status:
            yield f"{row}: {status or 'nothing'}, then {event.from_status} to {event.to_status}"
        elif status and event.to_status not in TRANSITIONS[Status(status)]:
            yield f"{row}: {status} cannot become {event.to_status}"
        status = event.to_status
    if status != row.status:
        yield f"{row}: the story ends with {status or 'nothing'}, the row is {row.status}"
