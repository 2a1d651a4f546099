"""Finds what still needs an endpoint, and the endpoints that need a variable."""

from __future__ import annotations

import re
from collections.abc import Iterator
from uuid import UUID

from django.db.models import PROTECT
from django.utils.translation import gettext as _

from codestream.core.references import variable_name
from codestream.projects.models import Project, Variable
from endpoints.models import Endpoint
from pipelines import task_kinds
from pipelines.definition import DefinitionError, parse
from pipelines.models import Pipeline


def users_of(endpoint: Endpoint) -> list[str]:
    """Each thing that would not work without the endpoint, by its kind and name."""
    return [*_rows_with(endpoint), *pipelines_naming(endpoint.project_id, endpoint.name)]


def pipelines_naming(project_id: UUID, name: str) -> Iterator[str]:
    """Pipelines name an endpoint in their text, so the database knows nothing of it."""
    # A word of it: a text in quotes may write the name itself in another way.
    word = max(re.findall(r"\w+", name), key=len, default="")
    rows = Pipeline.objects.filter(
        project_id=project_id, current_revision__source__contains=word
    ).select_related("current_revision")
    for pipeline in rows:
        revision = pipeline.current_revision
        if revision is not None and name in _endpoints_in(revision.source):
            yield _("pipeline %(name)s") % {"name": pipeline.name}


def endpoints_needing(variable: Variable) -> Iterator[str]:
    """The endpoints of which a credential is in the variable."""
    for endpoint in Endpoint.objects.filter(project_id=variable.project_id):
        if variable.name in map(variable_name, endpoint.credentials.values()):
            yield _("endpoint %(name)s") % {"name": endpoint.name}


def delete_endpoints(project: Project) -> None:
    """Delete the endpoints of a project that ends. Raises ProtectedError for what needs them."""
    Endpoint.objects.filter(project=project).delete()


def _rows_with(endpoint: Endpoint) -> Iterator[str]:
    """Rows of apps above this one; the database refuses to delete the endpoint because of them."""
    for relation in Endpoint._meta.related_objects:
        if relation.on_delete is not PROTECT:
            continue
        rows = relation.related_model._default_manager.filter(**{relation.field.name: endpoint})
        for row in rows:
            yield f"{relation.related_model._meta.verbose_name} {row}"


def _endpoints_in(source: str) -> set[str]:
    try:
        definition = parse(source, task_kinds=task_kinds.known())
    except DefinitionError:
        # Saved when it could still be read: it runs no more, so nothing of it needs an endpoint.
        return set()
    tasks = (task for stage in definition.stages for task in stage.tasks)
    return {name for task in tasks for name in task.endpoints.values()}
