"""Finds the webhooks that need something of their project."""

from __future__ import annotations

from collections.abc import Iterator

from django.utils.translation import gettext as _

from codestream.projects.models import Variable
from webhooks.models import DockerWebhook
from webhooks.services import variable_of_token


def webhooks_needing(variable: Variable) -> Iterator[str]:
    """The webhooks whose API token is in the variable."""
    for webhook in DockerWebhook.objects.filter(project_id=variable.project_id):
        if variable_of_token(webhook) == variable.name:
            yield _("webhook %(name)s") % {"name": webhook.name}
