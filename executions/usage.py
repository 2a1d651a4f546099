"""Finds the executions that need something of their project, or an endpoint of it."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

from django.utils.translation import gettext as _

from codestream.projects.models import Project
from endpoints.models import Endpoint
from executions.definitions import definition_of
from executions.models import Execution
from pipelines.definition import DefinitionError


def live_executions(project: Project) -> Iterator[str]:
    """The executions that are not over."""
    for execution in Execution.objects.live().filter(project=project):
        yield _("execution %(name)s") % {"name": execution}


def executions_naming(endpoint: Endpoint) -> Iterator[str]:
    """Those that are not over and use the endpoint, by their pipeline: it may have been changed
    since they were started, or deleted.
    """
    live = Execution.objects.live().filter(project_id=endpoint.project_id).order_by()
    rows = live.values_list("pipeline_name", "revision").distinct()
    for name in sorted({name for name, revision in rows if endpoint.name in _endpoints(revision)}):
        yield _("executions of %(name)s that are not over") % {"name": name}


def _endpoints(revision: UUID) -> frozenset[str]:
    try:
        return definition_of(revision).endpoints
    except DefinitionError:
        return frozenset()  # none of its tasks runs any more
