"""What the expressions of an execution can see, with its secrets or with stars in their place."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from django.conf import settings

from codestream.core.json_types import Json, JsonObject
from codestream.core.redact import MASK
from codestream.projects.models import Variable
from codestream.projects.permissions import Action, can
from executions.models import Execution, TaskRun
from pipelines.expressions import UnknownReference, VariableRef
from pipelines.scope import RecordedScope, TaskRecord


def scope_of(execution: Execution, *, stage: str = "", task: str = "") -> RecordedScope:
    """Return everything by name, secrets included: for the moment of use, never to be stored.

    A restricted variable is there only in a run of somebody who may use it.
    """
    return RecordedScope(
        inputs=execution.inputs,
        variables=_variables(execution),
        facts=_facts(execution, stage, task),
        tasks=_records(execution),
    )


def masked(scope: RecordedScope, secret_names: Iterable[str]) -> RecordedScope:
    """Return the scope with stars for the named variables: what may be stored and shown."""
    hidden = dict.fromkeys(secret_names, MASK)
    return replace(scope, variables={**scope.variables, **hidden})


def secret_variables(execution: Execution) -> tuple[str, ...]:
    """Return the names of the project's variables that must not be shown."""
    rows = Variable.objects.filter(project_id=execution.project_id)
    return tuple(rows.exclude(type=Variable.Type.REGULAR).values_list("name", flat=True))


def check_variable(execution: Execution, name: str) -> None:
    """Raise UnknownReference with the reason when the run may not use the variable."""
    variable = Variable.objects.filter(project_id=execution.project_id, name=name).first()
    if variable and not _may_use(execution, variable):
        raise UnknownReference(
            VariableRef(name),
            "Restricted: only a project administrator's run may use this variable",
        )


def _variables(execution: Execution) -> dict[str, str]:
    rows = Variable.objects.filter(project_id=execution.project_id)
    return {row.name: row.value for row in rows if _may_use(execution, row)}


def may_use_restricted(execution: Execution) -> bool:
    """Whether the run may use what is marked restricted.

    Its identity has to be an administrator's. Where a push started it, nobody looked at what the
    pipeline says, so who wrote that has to be one as well.
    """
    people = [execution.run_as]
    if execution.source == Execution.Source.PUSH:
        people.append(execution.revision.author)
    return all(
        person is not None and can(person, Action.ADMINISTER, execution.project)
        for person in people
    )


def _may_use(execution: Execution, variable: Variable) -> bool:
    return variable.type != Variable.Type.RESTRICTED or may_use_restricted(execution)


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


def _records(execution: Execution) -> dict[tuple[str, str], TaskRecord]:
    rows = TaskRun.objects.filter(stage_run__execution=execution).select_related("stage_run")
    return {
        (row.stage_run.name, row.name): TaskRecord(
            status=row.status, input=_object(row.input), output=_object(row.output)
        )
        for row in rows
    }


def _object(value: Json) -> JsonObject:
    return value if isinstance(value, dict) else {}
