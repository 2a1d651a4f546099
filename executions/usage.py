"""Finds the executions that need something of their project, or an endpoint of it."""

from __future__ import annotations

from collections.abc import Iterator

from django.utils.translation import gettext as _

from codestream.projects.models import Project
from endpoints.models import Endpoint
from endpoints.usage import endpoints_in
from executions.models import Execution


def live_executions(project: Project) -> Iterator[str]:
    """The executions that are not over."""
    for execution in Execution.objects.live().filter(project=project):
        yield _("execution %(name)s") % {"name": execution}


def executions_naming(endpoint: Endpoint) -> Iterator[str]:
    """Those that are not over and use the endpoint, by their pipeline: it may have been changed
    since they were started, or deleted.
    """
    live = Execution.objects.live().filter(project_id=endpoint.project_id).order_by()
    rows = live.values_list("pipeline_name", "revision__source").distinct()
    names = {name for name, source in rows if endpoint.name in endpoints_in(source)}
    for name in sorted(names):
        yield _("executions of %(name)s that are not over") % {"name": name}
