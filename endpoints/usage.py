"""Finds what still needs an endpoint."""

from __future__ import annotations

from collections.abc import Iterator

from django.db.models import PROTECT
from django.utils.translation import gettext as _

from endpoints.models import Endpoint
from pipelines import task_kinds
from pipelines.definition import DefinitionError, parse
from pipelines.models import Pipeline


def users_of(endpoint: Endpoint) -> list[str]:
    """Each thing that would not work without the endpoint, by its kind and name."""
    return [*_rows_with(endpoint), *_pipelines_naming(endpoint)]


def _rows_with(endpoint: Endpoint) -> Iterator[str]:
    """Rows of apps above this one; the database refuses to delete the endpoint because of them."""
    for relation in Endpoint._meta.related_objects:
        if relation.on_delete is not PROTECT:
            continue
        rows = relation.related_model._default_manager.filter(**{relation.field.name: endpoint})
        for row in rows:
            yield f"{relation.related_model._meta.verbose_name} {row}"


def _pipelines_naming(endpoint: Endpoint) -> Iterator[str]:
    """Pipelines name an endpoint in their text, so the database knows nothing of it."""
    rows = Pipeline.objects.filter(
        project_id=endpoint.project_id, current_revision__source__contains=endpoint.name
    )
    for pipeline in rows.select_related("current_revision"):
        revision = pipeline.current_revision
        if revision is not None and endpoint.name in _endpoints_in(revision.source):
            yield _("pipeline %(name)s") % {"name": pipeline.name}


def _endpoints_in(source: str) -> set[str]:
    try:
        definition = parse(source, task_kinds=task_kinds.known())
    except DefinitionError:
        # Saved when it could still be read: it runs no more, so nothing of it needs an endpoint.
        return set()
    tasks = (task for stage in definition.stages for task in stage.tasks)
    return {name for task in tasks for name in task.endpoints.values()}
