"""What the expressions of an execution can see, with its secrets or with stars in their place."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from typing import TypeVar

from django.conf import settings

from codestream.core.json_types import Json, JsonObject
from codestream.core.prepared import Prepared
from codestream.core.redact import MASK
from codestream.projects.models import Variable
from executions.models import Execution, TaskRun
from executions.restricted import may_use_restricted, variable_named
from executions.telling import told
from pipelines.scope import RecordedScope, TaskRecord

K = TypeVar("K")
V = TypeVar("V")


class _Lazy(Mapping[K, V]):
    """Asks the database when something is looked up, and once."""

    def __init__(self, load: Callable[[], dict[K, V]]) -> None:
        self._load = load

    @cached_property
    def _values(self) -> dict[K, V]:
        return self._load()

    def __getitem__(self, key: K) -> V:
        return self._values[key]

    def __iter__(self) -> Iterator[K]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


def scope_of(
    execution: Execution,
    *,
    stage: str = "",
    task: str = "",
    tasks: Iterable[TaskRun] | None = None,
    released: Collection[str] = (),
) -> RecordedScope:
    """Return everything by name, secrets included: for the moment of use, never to be stored.

    A restricted variable is there only where the run may use it, or when it is ``released``.
    ``tasks`` are the execution's, where they are at hand.
    """
    return RecordedScope(
        inputs=execution.inputs,
        variables=_Lazy(lambda: _variables(execution, released)),
        facts=_facts(execution, stage, task),
        tasks=_Lazy(lambda: _records(_tasks(execution) if tasks is None else tasks)),
    )


def masked(scope: RecordedScope, execution: Execution) -> RecordedScope:
    """Return the scope with stars for what is secret: what may be stored and shown."""

    def shown() -> dict[str, str]:
        return {**scope.variables, **dict.fromkeys(secret_variables(execution), MASK)}

    return replace(scope, variables=_Lazy(shown))


def secret_variables(execution: Execution) -> list[str]:
    """The names of the variables whose values are never shown."""
    rows = Variable.objects.filter(project_id=execution.project_id)
    return list(rows.exclude(type=Variable.Type.REGULAR).values_list("name", flat=True))


def _variables(execution: Execution, released: Collection[str]) -> dict[str, str]:
    rows = _VARIABLES.all(execution.project_id)
    held = {row.name for row in rows if row.is_restricted}
    held -= {name for name in held if variable_named(name) in released}
    if held and may_use_restricted(execution):
        held.clear()
    return {row.name: row.value for row in rows if row.name not in held}


_VARIABLES = Prepared(lambda project: Variable.objects.filter(project=project).order_by())


def _facts(execution: Execution, stage: str, task: str) -> JsonObject:
    def moment(value: object) -> str:
        return value.isoformat() if hasattr(value, "isoformat") else ""

    return {
        "name": execution.pipeline_name,
        "executionIndex": execution.index,
        "executionId": str(execution.pk),
        "executionUrl": f"{settings.PUBLIC_URL}/executions/{execution.pk}/",
        "requestBy": execution.triggered_by,
        "status": execution.status,
        "statusMessage": execution.message,
        "comments": execution.comments,
        "executedOn": moment(execution.created_at),
        "startTime": moment(execution.started_at),
        "endTime": moment(execution.finished_at),
        "duration": "",
        "stageName": stage,
        "taskName": task,
    }


def _tasks(execution: Execution) -> Iterable[TaskRun]:
    rows = TaskRun.objects.filter(stage_run__execution=execution)
    return rows.select_related("stage_run")


def _records(tasks: Iterable[TaskRun]) -> dict[tuple[str, str], TaskRecord]:
    return {
        (row.stage_run.name, row.name): TaskRecord(
            status=row.status, input=_object(row.input), output=told(_object(row.output))
        )
        for row in tasks
    }


def _object(value: Json) -> JsonObject:
    return value if isinstance(value, dict) else {}
