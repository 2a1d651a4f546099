"""What the runner of a task is given: its input, its cursor, and what it may look up."""

from __future__ import annotations

from contextlib import suppress
from functools import cached_property, partial
from uuid import UUID

from codestream.core.prepared import Prepared
from codestream.core.words import Words, gettext_noop
from codestream.core.work import Claim, require_held
from endpoints.models import Endpoint
from executions.models import Execution, TaskRun
from executions.restricted import RESUME, check_use, endpoint_named
from executions.run import definition_of_task
from executions.runners.base import Answer, PastTask, TaskContext, TaskFailedError
from executions.scopes import masked, scope_of
from executions.states import TERMINAL, Status
from pipelines.definition import DefinitionError
from pipelines.scope import RecordedScope


class Snapshot:
    """What the steps under one claim see of the project: each thing as it was first looked up."""

    def __init__(self, claim: Claim) -> None:
        self._task: TaskRun = claim.row
        self.require_held = partial(require_held, claim)
        self._endpoints: dict[tuple[str, str], Endpoint] = {}

    @cached_property
    def scope(self) -> RecordedScope:
        task, execution = self._task, self._task.stage_run.execution
        return scope_of(
            execution, stage=task.stage_run.name, task=task.name, released=task.released
        )

    @cached_property
    def shown(self) -> RecordedScope:
        return masked(self.scope, self._task.stage_run.execution)

    def endpoint(self, name: str, kind: str) -> Endpoint:
        if (name, kind) not in self._endpoints:
            self._endpoints[name, kind] = _endpoint(self._task, name, kind)
        return self._endpoints[name, kind]


def target_of(task: TaskRun) -> str:
    """The outside system that the steps of the task speak to: its endpoints, by their names."""
    if task.status == Status.NOT_STARTED:
        return ""  # it was woken for what is here
    try:
        endpoints = definition_of_task(task).endpoints
    except DefinitionError:
        return ""
    names = " ".join(sorted(endpoints.values()))
    return f"{task.stage_run.execution.project_id} {names}" if names else ""


def context_of(task: TaskRun, seen: Snapshot) -> TaskContext:
    """What the next step of the task is given."""
    execution = task.stage_run.execution
    definition = definition_of_task(task)
    return TaskContext(
        execution_id=str(execution.pk),
        task_id=str(task.pk),
        input=dict(definition.input),
        endpoints=definition.endpoints,
        scope=seen.scope,
        shown=seen.shown,
        cursor=task.cursor,
        output=task.output,
        find_endpoint=seen.endpoint,
        find_task=lambda past, stage, name: _past_task(execution, past, stage, name),
        require_held=seen.require_held,
        answer=_answer(task),
    )


def _answer(task: TaskRun) -> Answer | None:
    if task.answered_at is None or task.answer == RESUME:
        return None
    return Answer(word=task.answer, by=task.answered_by, comment=task.answer_comment)


def _endpoint(task: TaskRun, name: str, kind: str) -> Endpoint:
    project = task.stage_run.execution.project_id
    endpoint = _ENDPOINT.first(project, name, kind)
    if endpoint is None:
        raise TaskFailedError(
            Words(
                gettext_noop("The project has no endpoint “%(name)s” of this kind."),
                {"name": name},
            )
        )
    if endpoint.is_restricted:
        check_use(task, [endpoint_named(name)])
    return endpoint


_ENDPOINT = Prepared(
    lambda project, name, kind: Endpoint.objects.filter(project=project, name=name, kind=kind)
)


def _past_task(execution: Execution, past: str, stage: str, name: str) -> PastTask:
    rows = TaskRun.objects.filter(
        stage_run__execution__project_id=execution.project_id,
        stage_run__name=stage,
        name=name,
        status__in=TERMINAL | {Status.ROLLING_BACK},
    )
    key = _uuid(past)
    found = rows.filter(stage_run__execution=key).first() if key else None
    if found is None:
        raise TaskFailedError(
            Words(
                gettext_noop(
                    "The project has no task “%(task)s” of execution %(execution)s that is over."
                ),
                {"task": f"{stage}.{name}", "execution": past},
            )
        )
    return PastTask(
        id=str(found.pk),
        kind=found.kind,
        input=found.input,
        output=found.output,
        cursor=found.cursor,
    )


def _uuid(text: str) -> UUID | None:
    """The key that a person has typed, None where it cannot be one."""
    with suppress(ValueError):
        return UUID(text)
    return None
