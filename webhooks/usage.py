"""Finds the webhooks that need something of their project."""

from __future__ import annotations

from collections.abc import Iterator

from django.utils.translation import gettext as _

from codestream.projects.models import Project, Variable
from webhooks.models import DockerWebhook, RemoteHook
from webhooks.services import variable_of_token


def webhooks_needing(variable: Variable) -> Iterator[str]:
    """The webhooks whose API token is in the variable."""
    for webhook in DockerWebhook.objects.filter(project_id=variable.project_id):
        if variable_of_token(webhook) == variable.name:
            yield _("webhook %(name)s") % {"name": webhook.name}


def webhooks_in(project: Project) -> Iterator[str]:
    """The webhooks of the project, and the hooks that deleted ones left behind in Docker Hub."""
    for webhook in DockerWebhook.objects.filter(project=project):
        yield _("webhook %(name)s") % {"name": webhook.name}
    for hook in RemoteHook.objects.filter(endpoint__project=project, webhook=None):
        yield _("%(name)s, left in Docker Hub") % {"name": hook.remote_name}
