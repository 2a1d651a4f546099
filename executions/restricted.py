"""When a task may use what is marked restricted, and which such things it names.

A run uses them by itself only when who it runs as and who wrote its pipeline both administer the
project. Else the task waits; an administrator who resumes it allows what it waits for, no more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from codestream.core.errors import CodeStreamError
from codestream.core.json_types import Json
from codestream.core.prepared import Prepared
from codestream.core.words import Words, gettext_noop
from codestream.projects.models import Variable
from codestream.projects.permissions import Action, can
from endpoints.models import Endpoint
from executions.models import Execution, TaskRun
from executions.run import definition_of_task
from pipelines.expressions import ExpressionError, UnknownReference, VariableRef, references

RESUME = "RESUME"
"""What an administrator answers to a task that waits because of something restricted."""


class RestrictedError(CodeStreamError):
    """The task may not use these things by itself."""

    code = "restricted"

    def __init__(self, things: Iterable[str]) -> None:
        self.things = sorted(things)
        super().__init__(
            Words(
                gettext_noop(
                    "Restricted: %(things)s. An administrator of the project can resume the task."
                ),
                {"things": ", ".join(self.things)},
            )
        )


def endpoint_named(name: str) -> str:
    """How a restricted endpoint is called in messages and in what a task was allowed."""
    return f"endpoint {name}"


def variable_named(name: str) -> str:
    """How a restricted variable is called in messages and in what a task was allowed."""
    return f"variable {name}"


def may_use_restricted(execution: Execution) -> bool:
    """Whether the run may use what is restricted: both its identity and the author of what it
    runs administer the project, or somebody could write a pipeline for another's rights. A
    rollback may no more than the execution that it rolls back, which chose its pipeline and inputs.
    """
    people = (execution.run_as, execution.revision.author)
    may = all(
        person is not None and can(person, Action.ADMINISTER, execution.project)
        for person in people
    )
    return may and (execution.parent is None or may_use_restricted(execution.parent))


def check_use(task: TaskRun, things: Iterable[str]) -> None:
    """Raise RestrictedError for the restricted ``things`` that the task may not use."""
    refused = set(things) - set(task.released)
    if refused and not may_use_restricted(task.stage_run.execution):
        raise RestrictedError(refused)


def named_by(task: TaskRun) -> set[str]:
    """The restricted things that the task's definition names; what it makes up while it runs is
    found when it is used.
    """
    definition, project = definition_of_task(task), task.stage_run.execution.project_id
    endpoints = set(definition.endpoints.values())
    variables = set(_variables(dict(definition.input)))
    found = endpoints.intersection(_ENDPOINTS.all(project)) if endpoints else ()
    held = variables.intersection(_VARIABLES.all(project)) if variables else ()
    return {*map(endpoint_named, found), *map(variable_named, held)}


_ENDPOINTS = Prepared(
    lambda project: Endpoint.objects.filter(project=project, is_restricted=True).values_list(
        "name", flat=True
    )
)
_VARIABLES = Prepared(
    lambda project: (
        Variable.objects.restricted().filter(project=project).values_list("name", flat=True)
    )
)


def restricted_behind(execution: Execution, error: CodeStreamError) -> list[str]:
    """The restricted things because of which the error came up; none for any other error.

    A restricted variable is simply not there for a run that may not use it.
    """
    if isinstance(error, RestrictedError):
        return error.things
    if not isinstance(error, UnknownReference) or not isinstance(error.reference, VariableRef):
        return []
    rows = Variable.objects.restricted().filter(project=execution.project_id)
    found = rows.filter(name=error.reference.name)
    return [variable_named(name) for name in found.values_list("name", flat=True)]


def _variables(value: Json) -> Iterator[str]:
    """The names of the variables to which the texts of the tree refer."""
    if isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _variables(each)
    elif isinstance(value, str):
        try:
            found = references(value)
        except ExpressionError:
            return  # the task's kind says what is wrong with it
        yield from (each.name for each in found if isinstance(each, VariableRef))
