"""What people do with the secret of a webhook."""

from __future__ import annotations

from uuid import uuid4

from codestream.accounts.models import User
from webhooks.models import DockerWebhook
from webhooks.services import save_webhook


def replace_secret(*, webhook: DockerWebhook, by: User) -> None:
    """Save the form of the webhook with another secret token, as in another window."""
    save_webhook(DockerWebhook.objects.get(pk=webhook.pk), by=by, secret=uuid4().hex)
