"""What Docker Hub should hold: the wanted hook of every webhook, and the end of those before it.

Only rows are written here, in the transaction of whoever changed something; ``mirror_worker``
makes Docker Hub follow. Docker Hub has no update: a change is a new hook under another name, then
the end of the old. A hook that is kept by hand has a row as well, which a person brings forward.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

from django.db import models, transaction
from django.utils.text import slugify

from codestream.core.clock import now
from codestream.core.locks import lock_in_order
from codestream.core.work import wake
from endpoints.clients.base import Invalid, Unauthorized
from endpoints.clients.dockerhub import RepositoryAddress
from endpoints.clients.dockerhub_errors import SecondFactor
from endpoints.kinds import repository_of
from endpoints.models import Endpoint
from webhooks.models import DockerWebhook, ListenerSecret, RemoteHook

Presence, Errand, Mode = RemoteHook.Presence, RemoteHook.Errand, DockerWebhook.MirrorMode
ACCOUNT_REFUSED = frozenset({Unauthorized.code, SecondFactor.code})
"""Asked once more, these lock the account: nobody asks until a person has changed something."""
UNTROUBLED = {"error_code": "", "message": "", "attempts": 0}


def desire(webhook: DockerWebhook) -> None:
    """Write down the hook that Docker Hub should hold for the webhook, and the end of others."""
    with transaction.atomic():
        # As it is now: who saved it meanwhile had these hooks before, and has let them go.
        webhook.endpoint = Endpoint.objects.get(pk=webhook.endpoint_id)
        live = webhook.secrets.filter(retired_at=None).first() or ListenerSecret.issue(webhook)
        url, place = webhook.hook_url(live.secret), _place(webhook.endpoint)
        wanted = webhook.remote_hooks.filter(desired=Presence.PRESENT).first()
        if wanted is not None and _is_at(wanted, url, place):
            _hand_over(wanted, webhook)
            return
        if wanted is not None:
            withdraw(webhook.remote_hooks.filter(pk=wanted.pk))
        _want(webhook, url, place)
        forget_secrets(webhook)


def withdraw(hooks: models.QuerySet[RemoteHook]) -> None:
    """Want these hooks gone from Docker Hub; those that never came to be there go at once."""
    for hook in hooks:
        rows = RemoteHook.objects.filter(pk=hook.pk)
        if hook.desired != Presence.ABSENT:
            if _was_never_made(hook) and rows.filter(epoch=0).delete()[0]:
                continue
            gone = {"desired": Presence.ABSENT, "errand": Errand.TEND, "drift": ""}
            rows.update(**gone, **UNTROUBLED, since=now())
        _send_worker(hook.pk, hook.kept_by)


@transaction.atomic
def follow(webhooks: models.QuerySet[DockerWebhook]) -> None:
    """Want the hooks of these webhooks as PUBLIC_URL and their endpoints now say."""
    lock_in_order(RemoteHook.objects.filter(webhook__in=webhooks))
    for webhook in webhooks:
        desire(webhook)


@transaction.atomic
def send_on(hooks: models.QuerySet[RemoteHook], errand: RemoteHook.Errand) -> None:
    """Let a worker look at these hooks at once, with this in mind.

    Whoever asks for it may have mended the account, so the other hooks of a refused one are looked
    at again too.
    """
    asked = set(hooks.values_list("pk", flat=True))
    endpoints = list(hooks.values_list("endpoint", flat=True))
    refused = RemoteHook.objects.filter(endpoint__in=endpoints, error_code__in=ACCOUNT_REFUSED)
    keys = asked | set(refused.values_list("pk", flat=True))
    both = RemoteHook.objects.filter(pk__in=keys)
    lock_in_order(both)
    both.update(**UNTROUBLED)
    RemoteHook.objects.filter(pk__in=asked).update(errand=errand)
    wake_hooks(keys)


def retry_endpoint(endpoint: Endpoint) -> None:
    """Look again at the hooks of an endpoint that are not as they should be."""
    send_on(RemoteHook.objects.filter(endpoint=endpoint).exclude(error_code=""), Errand.TEND)


def wake_hooks(keys: Iterable[UUID]) -> None:
    """Ask a worker for attention to these hooks."""
    for pk in sorted(keys):
        wake(RemoteHook, pk)


def next_name(webhook: DockerWebhook) -> tuple[str, int]:
    """Return a name that no hook of the webhook has had, and its generation."""
    last = webhook.remote_hooks.order_by("-generation").first()
    generation = last.generation + 1 if last else 1
    readable = slugify(webhook.name)[:40] or "webhook"
    return f"{readable}-{webhook.listener_id.hex[:8]}-{generation}", generation


def forget_secrets(webhook: DockerWebhook) -> None:
    """Refuse retired secrets that no hook carries any more; until then both are accepted."""
    carried = {_secret_in(hook.hook_url) for hook in webhook.remote_hooks.all()}
    for old in webhook.secrets.exclude(retired_at=None):
        if old.secret not in carried:
            old.delete()


def _want(webhook: DockerWebhook, url: str, place: RepositoryAddress) -> None:
    """Want a hook at this address: one that was on its way out, or a new one.

    Two rows for one address would take each other's hook for their own.
    """
    keeper = {"kept_by": webhook.keeper, "endpoint": webhook.endpoint}
    leaving = next((hook for hook in webhook.remote_hooks.all() if _is_at(hook, url, place)), None)
    if leaving is not None:
        rows = RemoteHook.objects.filter(pk=leaving.pk)
        rows.update(desired=Presence.PRESENT, **keeper, **UNTROUBLED, since=now())
        _send_worker(leaving.pk, webhook.keeper)
        return
    name, generation = next_name(webhook)
    hook = RemoteHook.objects.create(
        webhook=webhook,
        base_url=place.base_url,
        namespace=place.namespace,
        repository=place.repository,
        remote_name=name,
        hook_url=url,
        desired=Presence.PRESENT,
        generation=generation,
        since=now(),
        **keeper,
    )
    _send_worker(hook.pk, webhook.keeper)


def _send_worker(pk: UUID, kept_by: str) -> None:
    """What is kept by hand is no work for a worker."""
    if kept_by == Mode.AUTO:
        wake(RemoteHook, pk)


def _hand_over(hook: RemoteHook, webhook: DockerWebhook) -> None:
    """Let the hook that stands be kept by whoever is to keep it now, and with which account.

    Its address is the same, so it stays: a second one would deliver every push twice.
    """
    if (hook.kept_by, hook.endpoint_id) == (webhook.keeper, webhook.endpoint_id):
        return
    keeper = {"kept_by": webhook.keeper, "endpoint": webhook.endpoint}
    plain = {"errand": Errand.TEND, "drift": ""}
    rows = RemoteHook.objects.filter(pk=hook.pk)
    rows.update(**keeper, **plain, **UNTROUBLED, since=now(), wake_at=None)
    _send_worker(hook.pk, webhook.keeper)


def _place(endpoint: Endpoint) -> RepositoryAddress:
    """Return the endpoint's repository; where it names none, the worker will say so."""
    try:
        return repository_of(endpoint)
    except Invalid:
        return RepositoryAddress(base_url="", namespace="", repository="")


def _is_at(hook: RemoteHook, url: str, place: RepositoryAddress) -> bool:
    """Whether the hook sends the pushes of this repository to this address.

    Its name is none of that: replacing a hook for a new name would deliver a push twice.
    """
    return (hook.hook_url, hook.place) == (url, place)


def _was_never_made(hook: RemoteHook) -> bool:
    """Whether nothing can be in Docker Hub: no worker was sent, and no person said so or pushed."""
    if hook.epoch or hook.actual == Presence.PRESENT:
        return False
    return hook.kept_by == Mode.AUTO or hook.webhook is None or not hook.webhook.events.exists()


def _secret_in(hook_url: str) -> str:
    return parse_qs(urlsplit(hook_url).query).get("secureToken", [""])[0]
