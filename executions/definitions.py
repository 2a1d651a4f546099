"""The parsed definition of a revision. Revisions never change, so each is read once a process."""

from __future__ import annotations

from functools import lru_cache
from uuid import UUID

from pipelines import task_kinds
from pipelines.definition import PipelineDefinition, Stage, Task, parse
from pipelines.kubernetes_task import KIND, KubernetesAction
from pipelines.models import PipelineRevision

UNDO = "Undo"
"""The one stage and the one task of an execution that undoes a task."""


@lru_cache(maxsize=256)
def definition_of(revision: UUID) -> PipelineDefinition:
    """Return what the revision with this key says.

    Raises DefinitionError when it can no longer be read.
    """
    source = PipelineRevision.objects.values_list("source", flat=True).get(pk=revision)
    return parse(source, task_kinds=task_kinds.known())


def undo_of(task: Task, *, execution: UUID, stage: str) -> PipelineDefinition:
    """Return what undoes a task of an execution: one task, in the same cluster."""
    fields = {"action": KubernetesAction.UNDO, "execution": str(execution)}
    timeout = {"timeout": task.input["timeout"]} if "timeout" in task.input else {}
    undo = Task(
        name=UNDO,
        kind=KIND,
        input={**fields, "task": f"{stage}.{task.name}", **timeout},
        endpoints=task.endpoints,
    )
    return PipelineDefinition(name=UNDO, outputs={}, stages=(Stage(name=UNDO, groups=((undo,),)),))


@lru_cache(maxsize=256)
def revision_number(revision: UUID) -> int:
    """Return the number of the revision with this key within its pipeline."""
    return PipelineRevision.objects.values_list("number", flat=True).get(pk=revision)
