"""The parsed definition of a revision. Revisions never change, so each is read once a process."""

from __future__ import annotations

from functools import lru_cache
from uuid import UUID

from pipelines import task_kinds
from pipelines.definition import PipelineDefinition, parse
from pipelines.models import PipelineRevision


@lru_cache(maxsize=256)
def definition_of(revision: UUID) -> PipelineDefinition:
    """Return what the revision with this key says.

    Raises DefinitionError when it can no longer be read.
    """
    source = PipelineRevision.objects.values_list("source", flat=True).get(pk=revision)
    return parse(source, task_kinds=task_kinds.known())


@lru_cache(maxsize=256)
def revision_number(revision: UUID) -> int:
    """Return the number of the revision with this key within its pipeline."""
    return PipelineRevision.objects.values_list("number", flat=True).get(pk=revision)
