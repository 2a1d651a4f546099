"""Makes Docker Hub hold the hooks that are wanted: one step of a worker for one hook.

It looks before it writes, since the answer to an earlier try may have been lost with its worker,
and writes down what it found. Whatever it may not decide alone it leaves to a person
(docs/decisions/0007).
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction

from codestream.core.clock import now
from codestream.core.errors import CodeStreamError, Refused
from codestream.core.words import Words, gettext_noop
from codestream.core.work import Claim, finishing, require_held
from endpoints.clients.base import ClientError, Conflict, Protocol, Unauthorized
from endpoints.clients.dockerhub import DockerHub, HubWebhook
from endpoints.kinds import docker_hub, repository_of
from webhooks.mirror import ACCOUNT_REFUSED, UNTROUBLED, forget_secrets, next_name, wake_hooks
from webhooks.mirror_sight import Drift, Sight, is_made_here, see
from webhooks.models import DockerWebhook, RemoteHook

Presence, Errand, Mode = RemoteHook.Presence, RemoteHook.Errand, DockerWebhook.MirrorMode
LONGEST_PAUSE = timedelta(minutes=5)
PAUSE_AFTER_REFUSAL = timedelta(minutes=15)
LONGEST_PAUSE_AFTER_REFUSAL = timedelta(hours=6)
PAUSE_FOR_SUCCESSOR = timedelta(seconds=30)
"""How often an old hook asks whether the new one stands, should nobody tell it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a step came to: the hook that stands there, if any, and how it differs.

    ``needs_name`` when a stranger's hook has ours.
    """

    kept: HubWebhook | None = None
    drift: Drift = Drift.NONE
    needs_name: bool = False


def reconcile(claim: Claim) -> None:
    """Make one hook in Docker Hub what it should be; a failure is kept and tried again."""
    hook: RemoteHook = claim.row
    if hook.kept_by == Mode.MANUAL:
        with finishing(claim, wake_at=None):
            return
    if hook.desired == Presence.ABSENT and _is_still_needed(hook):
        with finishing(claim, wake_at=now() + PAUSE_FOR_SUCCESSOR):
            return
    try:
        outcome = _settle(claim)
    except CodeStreamError as error:
        _note_failure(claim, error)
        return
    if hook.desired == Presence.ABSENT:
        _note_gone(claim)
    elif outcome.needs_name:
        _rename(claim)
    else:
        _note_seen(claim, outcome)


def fail_hook(claim: Claim, message: str) -> None:
    """Keep a fault of ours with the hook; it is looked at again after a while."""
    _note_failure(claim, CodeStreamError(message))


def _is_still_needed(hook: RemoteHook) -> bool:
    """Whether pushes would be lost: the hook that takes over is wanted and not there yet."""
    if hook.webhook is None:
        return False
    successors = hook.webhook.remote_hooks.filter(desired=Presence.PRESENT)
    return successors.exclude(actual=Presence.PRESENT).exists()


def _settle(claim: Claim) -> Outcome:
    hook: RemoteHook = claim.row
    if repository_of(hook.endpoint).base_url != hook.base_url:
        # These credentials belong to another host, so they do not go there.
        words = Words(
            gettext_noop(
                "The endpoint points to another Docker Hub now. Delete the webhook %(name)s of "
                "%(place)s at %(address)s by hand."
            ),
            {"name": hook.remote_name, "place": str(hook.place), "address": hook.base_url},
        )
        raise Refused(words)
    _spare_the_account(hook)
    with docker_hub(hook.endpoint) as hub:
        return _remove(hub, claim) if hook.desired == Presence.ABSENT else _keep(hub, claim)


def _spare_the_account(hook: RemoteHook) -> None:
    """Do not sign in with what was refused for another hook: that would lock the account."""
    others = RemoteHook.objects.filter(endpoint=hook.endpoint, error_code__in=ACCOUNT_REFUSED)
    refused = others.exclude(pk=hook.pk).first()
    if refused is not None:
        known = Unauthorized(refused.message, advice="")
        known.code = refused.error_code
        raise known


def _look(hub: DockerHub, hook: RemoteHook) -> Sight:
    listed = hub.list_webhooks(hook.namespace, hook.repository)
    return see(listed, url=hook.hook_url, name=hook.remote_name, slug=hook.slug)


def _keep(hub: DockerHub, claim: Claim) -> Outcome:
    """Create the hook, adopt one that carries our address, or say how it differs."""
    hook: RemoteHook = claim.row
    sight = _look(hub, hook)
    if sight.kept is not None:
        return _tidy(hub, claim, sight)
    stood_there = hook.actual == Presence.PRESENT or bool(hook.drift)
    if stood_there and not _may_mend(hook, sight.drift):
        return Outcome(drift=sight.drift)
    if sight.name_is_taken:
        return Outcome(needs_name=True)
    return _create(hub, claim)


def _create(hub: DockerHub, claim: Claim) -> Outcome:
    hook: RemoteHook = claim.row
    require_held(claim)
    try:
        made = hub.create_webhook(hook.namespace, hook.repository, hook.remote_name, hook.hook_url)
    except Conflict:
        # An earlier try may have got through after all, or somebody took the name just now.
        sight = _look(hub, hook)
        if sight.kept is None and not sight.name_is_taken:
            raise
        return Outcome(kept=sight.kept, needs_name=sight.kept is None)
    return Outcome(kept=made)


def _tidy(hub: DockerHub, claim: Claim, sight: Sight) -> Outcome:
    """Remove what delivers every push once more: our own leftovers, and all when asked to."""
    hook: RemoteHook = claim.row
    left = False
    for extra in sight.extras:
        if hook.errand == Errand.REPAIR or (
            hook.errand == Errand.TEND and is_made_here(extra, hook.remote_name)
        ):
            require_held(claim)
            hub.delete_webhook(hook.namespace, hook.repository, extra.slug)
        else:
            left = True
    return Outcome(kept=sight.kept, drift=Drift.DOUBLED if left else Drift.NONE)


def _may_mend(hook: RemoteHook, drift: Drift) -> bool:
    """What is gone is made again; what somebody changed on purpose waits for a person's word."""
    if hook.errand == Errand.REPAIR:
        return True
    return hook.errand == Errand.TEND and drift == Drift.MISSING


def _remove(hub: DockerHub, claim: Claim) -> Outcome:
    """Delete every hook with our address, and look again: an answer does not make it so."""
    hook: RemoteHook = claim.row
    sight = _look(hub, hook)
    slugs = [found.slug for found in (sight.kept, *sight.extras) if found is not None]
    if hook.slug and hook.slug not in slugs and not sight.slug_is_taken:
        # A list may be older than the hook.
        slugs.append(hook.slug)
    for slug in slugs:
        require_held(claim)
        hub.delete_webhook(hook.namespace, hook.repository, slug)
    if _look(hub, hook).kept is not None:
        words = gettext_noop("Docker Hub still lists the webhook after it was deleted.")
        raise Protocol(words)
    return Outcome()


def _note_gone(claim: Claim) -> None:
    webhook = claim.row.webhook
    with finishing(claim, wake_at=None):
        rows = RemoteHook.objects.filter(pk=claim.pk)
        rows.filter(desired=Presence.ABSENT).delete()
        # Wanted again meanwhile: it is made anew.
        rows.update(actual=Presence.ABSENT, slug="")
        if webhook is not None:
            forget_secrets(webhook)


def _rename(claim: Claim) -> None:
    """Take the next name; the create follows at once, under a name that is written down."""
    hook: RemoteHook = claim.row
    with finishing(claim, wake_at=now()):
        if hook.webhook is not None:
            name, generation = next_name(hook.webhook)
            RemoteHook.objects.filter(pk=claim.pk).update(
                remote_name=name,
                generation=generation,
                slug="",
                actual=Presence.ABSENT,
                drift="",
            )


def _note_seen(claim: Claim, outcome: Outcome) -> None:
    hook: RemoteHook = claim.row
    with transaction.atomic():
        if hook.webhook is not None:
            # Those that it takes over from are woken below.
            hook.webhook.lock_hooks()
        with finishing(claim, wake_at=_next_check()):
            _write_seen(claim, outcome)


def _write_seen(claim: Claim, outcome: Outcome) -> None:
    hook: RemoteHook = claim.row
    actual = Presence.PRESENT if outcome.kept else Presence.ABSENT
    before, after = (hook.actual, hook.drift, hook.error_code), (actual, outcome.drift, "")
    rows = RemoteHook.objects.filter(pk=claim.pk)
    rows.update(
        actual=actual,
        slug=outcome.kept.slug if outcome.kept else hook.slug,
        drift=outcome.drift,
        checked_at=now(),
        since=hook.since if before == after else now(),
        **UNTROUBLED,
    )
    # Another errand that a person sent it on meanwhile stays.
    rows.filter(errand=hook.errand).update(errand=Errand.TEND)
    # What this one takes over from can go now.
    leaving = RemoteHook.objects.filter(webhook=hook.webhook, desired=Presence.ABSENT)
    leaving = leaving.filter(webhook__isnull=False, kept_by=Mode.AUTO)
    wake_hooks(leaving.values_list("pk", flat=True))


def _note_failure(claim: Claim, error: CodeStreamError) -> None:
    hook: RemoteHook = claim.row
    with finishing(claim, wake_at=_next_try(claim, error)):
        RemoteHook.objects.filter(pk=claim.pk).update(
            error_code=error.code,
            message=error.words,
            since=hook.since if hook.error_code == error.code else now(),
        )


def _next_check() -> datetime | None:
    """When to look again by ourselves; spread, so that not all hooks of an account come at once."""
    hours = settings.MIRROR_CHECK_HOURS
    return now() + timedelta(hours=hours) * random.uniform(0.75, 1.25) if hours else None  # noqa: S311 - no secret


def _next_try(claim: Claim, error: CodeStreamError) -> datetime | None:
    """When to try again; never by itself what would lock the account."""
    if error.code in ACCOUNT_REFUSED:
        return None
    retry_at = error.retry_at if isinstance(error, ClientError) else None
    if retry_at is not None:
        return max(retry_at, now() + timedelta(seconds=1))
    tries = min(claim.attempts, 10)
    if error.retryable:
        pause = min(timedelta(seconds=2**tries), LONGEST_PAUSE)
    else:
        pause = min(PAUSE_AFTER_REFUSAL * 2 ** (tries - 1), LONGEST_PAUSE_AFTER_REFUSAL)
    return now() + pause * random.uniform(0.75, 1.25)  # noqa: S311 - no secret
