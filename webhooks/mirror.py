"""Keeps the webhooks in Docker Hub as they are wanted here.

``desire`` and ``withdraw`` write what is wanted; ``reconcile`` is the worker's step that makes it
so. Docker Hub has no update: a change is a new hook under another name, then the end of the old.
"""

from __future__ import annotations

from datetime import timedelta

from django.db import models, transaction
from django.utils.text import slugify

from codestream.core.clock import now
from codestream.core.errors import CodeStreamError, Refused
from codestream.core.work import Claim, finishing, wake
from endpoints.clients.base import ClientError, Invalid, Protocol, Unauthorized
from endpoints.clients.dockerhub import DockerHub, HubWebhook, RepositoryAddress
from endpoints.kinds import docker_hub, repository_of
from endpoints.models import Endpoint
from webhooks.models import DockerWebhook, ListenerSecret, RemoteHook

Presence = RemoteHook.Presence
LONGEST_PAUSE = timedelta(minutes=5)
PAUSE_AFTER_REFUSAL = timedelta(minutes=15)


def desire(webhook: DockerWebhook) -> None:
    """Write down the hook that Docker Hub should hold for the webhook, and the end of others."""
    with transaction.atomic():
        live = webhook.secrets.filter(retired_at=None).first() or ListenerSecret.issue(webhook)
        wanted = webhook.remote_hooks.filter(desired=Presence.PRESENT)
        if webhook.mirror_mode == DockerWebhook.MirrorMode.MANUAL:
            withdraw(wanted)
            return
        url, place = webhook.hook_url(live.secret), _place(webhook.endpoint)
        present = wanted.first()
        if present is None or not _still_fits(present, webhook, url, place):
            withdraw(wanted)
            _want(webhook, url, place)


def withdraw(hooks: models.QuerySet[RemoteHook]) -> None:
    """Want these hooks gone from Docker Hub."""
    for hook in hooks.exclude(desired=Presence.ABSENT):
        rows = RemoteHook.objects.filter(pk=hook.pk)
        rows.update(desired=Presence.ABSENT, attempts=0, error_code="", message="", since=now())
        wake(RemoteHook, hook.pk)


def retry(webhook: DockerWebhook) -> None:
    """Look at the webhook's hooks again at once."""
    _look_again(webhook.remote_hooks.all())


def retry_endpoint(endpoint: Endpoint) -> None:
    """Look again at the hooks of an endpoint that are not as they should be."""
    _look_again(RemoteHook.objects.filter(endpoint=endpoint).exclude(error_code=""))


def reconcile(claim: Claim) -> None:
    """Make one hook in Docker Hub what it should be; a failure is kept and tried again."""
    hook: RemoteHook = claim.row
    if hook.desired == Presence.ABSENT and _is_still_needed(hook):
        with finishing(claim, wake_at=now() + timedelta(seconds=5)):
            return
    try:
        slug = _reach(hook)
    except CodeStreamError as error:
        _note_failure(claim, error)
        return
    with finishing(claim, wake_at=None):
        rows = RemoteHook.objects.filter(pk=claim.pk)
        if slug is None:
            rows.filter(desired=Presence.ABSENT).delete()
            return
        rows.update(
            actual=Presence.PRESENT, slug=slug, error_code="", message="", attempts=0, since=now()
        )
        # What this one takes over from can go now.
        _wake(RemoteHook.objects.filter(webhook=hook.webhook, desired=Presence.ABSENT))


def fail_hook(claim: Claim, message: str) -> None:
    """Keep a fault of ours with the hook; it is looked at again after a while."""
    _note_failure(claim, CodeStreamError(message))


def _want(webhook: DockerWebhook, url: str, place: RepositoryAddress) -> None:
    last = webhook.remote_hooks.order_by("-generation").first()
    generation = last.generation + 1 if last else 1
    hook = RemoteHook.objects.create(
        webhook=webhook,
        endpoint=webhook.endpoint,
        base_url=place.base_url,
        namespace=place.namespace,
        repository=place.repository,
        remote_name=f"{_base_name(webhook)}-{generation}",
        hook_url=url,
        desired=Presence.PRESENT,
        generation=generation,
        since=now(),
    )
    wake(RemoteHook, hook.pk)


def _look_again(hooks: models.QuerySet[RemoteHook]) -> None:
    hooks.update(attempts=0)
    _wake(hooks)


def _wake(hooks: models.QuerySet[RemoteHook]) -> None:
    for pk in hooks.values_list("pk", flat=True):
        wake(RemoteHook, pk)


def _place(endpoint: Endpoint) -> RepositoryAddress:
    """Return the endpoint's repository; where it names none, the worker will say so."""
    try:
        return repository_of(endpoint)
    except Invalid:
        return RepositoryAddress(base_url="", namespace="", repository="")


def _base_name(webhook: DockerWebhook) -> str:
    """Return a name that is unique in the repository and says whose hook it is."""
    readable = slugify(webhook.name)[:40] or "webhook"
    return f"{readable}-{webhook.listener_id.hex[:8]}"


def _still_fits(
    hook: RemoteHook, webhook: DockerWebhook, url: str, place: RepositoryAddress
) -> bool:
    """Whether the hook sends the right pushes to the right address.

    Its name is none of that: replacing a hook for a new name would deliver a push twice.
    """
    return (hook.endpoint_id, hook.hook_url, hook.place) == (webhook.endpoint_id, url, place)


def _is_still_needed(hook: RemoteHook) -> bool:
    """Whether pushes would be lost: the hook that takes over is wanted and not there yet."""
    if hook.webhook is None:
        return False
    followers = hook.webhook.remote_hooks.filter(desired=Presence.PRESENT)
    return followers.exclude(actual=Presence.PRESENT).filter(error_code="").exists()


def _reach(hook: RemoteHook) -> str | None:
    """Make Docker Hub what it should be; return the slug of the hook, None when it is gone.

    Looks before it writes, since the answer to an earlier try may have been lost; and after a
    delete, since an answer that says so does not make it so.
    """
    place = hook.place
    if repository_of(hook.endpoint).base_url != place.base_url:
        # These credentials belong to another host, so they do not go there.
        raise Refused(
            f"The endpoint points to another Docker Hub now. Delete the webhook {hook.remote_name} "
            f"of {place} at {place.base_url} by hand."
        )
    with docker_hub(hook.endpoint) as hub:
        found = _find(hub, place, hook)
        if hook.desired == Presence.PRESENT:
            made = found or hub.create_webhook(
                place.namespace, place.repository, hook.remote_name, hook.hook_url
            )
            return made.slug
        if found is not None:
            hub.delete_webhook(place.namespace, place.repository, found.slug)
            if _find(hub, place, hook) is not None:
                raise Protocol("Docker Hub still lists the webhook after it was deleted.")
        return None


def _find(hub: DockerHub, place: RepositoryAddress, hook: RemoteHook) -> HubWebhook | None:
    """Return the hook with this address and name; one that is being replaced has another name."""
    listed = hub.list_webhooks(place.namespace, place.repository)
    same = (one for one in listed if hook.hook_url in one.hook_urls)
    return next((one for one in same if one.name == hook.remote_name), None)


def _note_failure(claim: Claim, error: CodeStreamError) -> None:
    with finishing(claim, wake_at=now() + _pause(claim, error)):
        RemoteHook.objects.filter(pk=claim.pk).update(
            error_code=error.code, message=error.user_message, since=now()
        )


def _pause(claim: Claim, error: CodeStreamError) -> timedelta:
    """Return how long to leave Docker Hub alone; wrong credentials lock the account if repeated."""
    retry_at = error.retry_at if isinstance(error, ClientError) else None
    if retry_at is not None:
        return max(retry_at - now(), timedelta(seconds=1))
    if isinstance(error, Unauthorized) or not error.retryable:
        return PAUSE_AFTER_REFUSAL
    return min(timedelta(seconds=2 ** min(claim.attempts, 10)), LONGEST_PAUSE)


def follow(webhooks: models.QuerySet[DockerWebhook]) -> None:
    """Want the hooks of these webhooks as PUBLIC_URL and their endpoints now say."""
    for webhook in webhooks.select_related("endpoint"):
        desire(webhook)
