"""What people do with the hooks in Docker Hub: have them checked and mended, say what was done
there by hand, and give up what cannot be reached. Each is one transaction.
"""

from __future__ import annotations

import logging

from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from codestream.accounts.models import User
from codestream.core.clock import now
from codestream.core.errors import Refused
from webhooks.mirror import Errand, Mode, Presence, forget_secrets, send_on, wake_hooks
from webhooks.models import DockerWebhook, RemoteHook

logger = logging.getLogger(__name__)


@transaction.atomic
def retry_mirror(*, webhook: DockerWebhook) -> None:
    """Look at Docker Hub again at once."""
    send_on(webhook.remote_hooks.filter(kept_by=Mode.AUTO), Errand.TEND)


@transaction.atomic
def check_mirror(*, webhook: DockerWebhook) -> None:
    """Have a worker look whether the hook stands as it should; nothing is changed there."""
    send_on(_kept_here(webhook), Errand.CHECK)


@transaction.atomic
def repair_mirror(*, webhook: DockerWebhook) -> None:
    """Have a worker make it right: what is missing is made, what calls our address twice goes."""
    send_on(_kept_here(webhook), Errand.REPAIR)


@transaction.atomic
def change_keeper(*, webhook: DockerWebhook, mode: str, by: User) -> None:
    """Let Codestream or a person keep the hook; one that stands there stays. Raises Refused where
    that cannot be, and when the webhook is deleted.
    """
    if mode not in Mode.values:
        raise Refused(_("Choose who keeps the webhook in Docker Hub."))
    if mode == Mode.AUTO and not webhook.is_in_docker_hub:
        raise Refused(_("Only in Docker Hub can Codestream keep a webhook."))
    webhook.lock()
    webhook.mirror_mode, webhook.edited_by = mode, by
    webhook.save(update_fields=["mirror_mode", "edited_by", "updated_at"])


@transaction.atomic
def confirm_by_hand(*, webhook: DockerWebhook, by: User) -> None:
    """Believe a person that the hook with the present address stands in Docker Hub.

    Those that it takes over from can go now, and a worker sees to them where it may.
    """
    webhook.lock_hooks()
    wanted = webhook.remote_hooks.filter(desired=Presence.PRESENT, kept_by=Mode.MANUAL)
    if wanted.exclude(actual=Presence.PRESENT).update(actual=Presence.PRESENT, since=now()):
        logger.info("%s says that the hook of %s stands in Docker Hub.", by, webhook)
        leaving = webhook.remote_hooks.filter(desired=Presence.ABSENT, kept_by=Mode.AUTO)
        wake_hooks(leaving.values_list("pk", flat=True))


@transaction.atomic
def retry_hook(*, hook: RemoteHook) -> None:
    """Try again at once to remove a hook whose webhook is gone."""
    send_on(RemoteHook.objects.filter(pk=hook.pk, kept_by=Mode.AUTO), Errand.TEND)


@transaction.atomic
def forget_hook(*, hook: RemoteHook, by: User) -> None:
    """Take a hook that should go off our hands: a person removed it, or will never.

    Raises Refused for one that is wanted.
    """
    gone, _rows = RemoteHook.objects.filter(pk=hook.pk, desired=Presence.ABSENT).delete()
    if not gone:
        raise Refused(_("The webhook in Docker Hub is in use."))
    logger.warning("%s took the hook %s of %s off our hands.", by, hook.remote_name, hook.place)
    if hook.webhook is not None:
        forget_secrets(hook.webhook)


def _kept_here(webhook: DockerWebhook) -> QuerySet[RemoteHook]:
    return webhook.remote_hooks.filter(desired=Presence.PRESENT, kept_by=Mode.AUTO)
