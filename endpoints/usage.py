"""Finds what still needs an endpoint, and the endpoints that need a variable."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from uuid import UUID

from django.db.models import PROTECT
from django.utils.translation import gettext as _

from codestream.core.references import variable_name
from codestream.projects.models import Project, Variable
from endpoints.models import Endpoint
from pipelines import task_kinds
from pipelines.definition import DefinitionError, parse
from pipelines.models import Pipeline

Find = Callable[[Endpoint], Iterable[str]]
_find_users: list[Find] = []


def register_users(find: Find) -> None:
    """Have this asked which things of an app above this one use an endpoint by its name."""
    _find_users.append(find)


def users_of(endpoint: Endpoint) -> list[str]:
    """Each thing that would not work without the endpoint, by its kind and name."""
    by_name = [user for find in _find_users for user in find(endpoint)]
    pipelines = pipelines_naming(endpoint.project_id, endpoint.name)
    return [*_rows_with(endpoint), *pipelines, *by_name]


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


def _endpoints_in(source: str) -> frozenset[str]:
    try:
        return parse(source, task_kinds=task_kinds.known()).endpoints
    except DefinitionError:
        # Saved when it could still be read: it runs no more, so nothing of it needs an endpoint.
        return frozenset()
