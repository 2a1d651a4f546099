"""Finds the executions that need something of their project."""

from __future__ import annotations

from collections.abc import Iterator

from django.utils.translation import gettext as _

from codestream.projects.models import Project
from executions.models import Execution


def live_executions(project: Project) -> Iterator[str]:
    """The executions that are not over."""
    for execution in Execution.objects.live().filter(project=project):
        yield _("execution %(name)s") % {"name": execution}
