"""The parsed definition of a revision. Revisions never change, so each is parsed once a process."""

from __future__ import annotations

from functools import lru_cache

from pipelines import task_kinds
from pipelines.definition import PipelineDefinition, parse
from pipelines.models import PipelineRevision


def definition_of(revision: PipelineRevision) -> PipelineDefinition:
    """Return what the revision says. Raises DefinitionError when it can no longer be read."""
    return _parse(revision.source)


@lru_cache(maxsize=128)
def _parse(source: str) -> PipelineDefinition:
    return parse(source, task_kinds=task_kinds.known())
