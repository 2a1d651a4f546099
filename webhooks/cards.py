"""A webhook as its card shows it: how its mirror in Docker Hub stands, how long its token lives,
what its last delivery came to. A whole list is asked for at once, never card by card.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias
from uuid import UUID

from django.db.models import OuterRef, Subquery
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from codestream.accounts.models import ApiToken
from codestream.accounts.services import digest_of
from codestream.core.clock import now
from codestream.core.live import version_of
from codestream.projects.models import Variable
from webhooks.models import DockerWebhook, RegistryEvent, RemoteHook
from webhooks.services import VARIABLE

EXPIRES_SOON = timedelta(days=30)
Presence = RemoteHook.Presence
TokenPlace: TypeAlias = tuple[UUID, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorState:
    """How the webhook stands in Docker Hub; ``next_try`` is when a failure is tried again."""

    status: str
    word: str
    message: str = ""
    next_try: datetime | None = None

    @property
    def is_moving(self) -> bool:
        """Whether a worker is about to change it."""
        return self.status == "PENDING"

    @property
    def has_failed(self) -> bool:
        """Whether somebody should look at it."""
        return self.status == "FAILED"

    @property
    def version(self) -> str:
        """Changes when something else is to be shown."""
        return version_of(self.status, self.word, self.message)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenState:
    """Whether the pipeline can run as the owner of the token, and for how long."""

    status: str = ""
    word: str = ""
    token: ApiToken | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookCard:
    """A webhook as the list shows it."""

    webhook: DockerWebhook
    mirror: MirrorState
    token: TokenState
    last_event: RegistryEvent | None
    may_write: bool

    @property
    def status(self) -> str:
        """The worst of what is inside, for the band of the card."""
        if self.mirror.has_failed:
            return "FAILED"
        return "ENABLED" if self.webhook.enabled else "DISABLED"

    @property
    def may_reveal(self) -> bool:
        """Whether the person may see the URL, because somebody has to carry it to Docker Hub."""
        return self.may_write and is_carried_by_hand(self.webhook, self.mirror)


def is_carried_by_hand(webhook: DockerWebhook, mirror: MirrorState) -> bool:
    """Whether a person has to paste the URL into Docker Hub."""
    return webhook.mirror_mode == DockerWebhook.MirrorMode.MANUAL or mirror.has_failed


def cards_of(webhooks: Sequence[DockerWebhook], *, writable: Collection[UUID]) -> list[WebhookCard]:
    """The cards of webhooks that were read with their ``remote_hooks``."""
    tokens, events = _tokens_of(webhooks), _last_events(webhooks)
    return [
        WebhookCard(
            webhook=webhook,
            mirror=mirror_state(webhook),
            token=_token_state(tokens.get(webhook.pk)),
            last_event=events.get(webhook.pk),
            may_write=webhook.project_id in writable,
        )
        for webhook in webhooks
    ]


def mirror_state(webhook: DockerWebhook) -> MirrorState:
    """How the webhook's hooks in Docker Hub stand, the wanted one and those that are to go."""
    hooks = list(webhook.remote_hooks.all())
    moving = next((hook for hook in hooks if _is_moving(hook)), None)
    if moving is not None:
        return MirrorState(status="PENDING", word=_moving_word(moving))
    failed = next((hook for hook in hooks if hook.error_code), None)
    if failed is not None:
        return MirrorState(
            status="FAILED",
            word=_failed_word(failed),
            message=failed.message,
            next_try=failed.wake_at,
        )
    if any(hook.desired == Presence.PRESENT for hook in hooks):
        return MirrorState(status="IN_SYNC", word=_("In sync"))
    if webhook.mirror_mode == DockerWebhook.MirrorMode.MANUAL:
        return MirrorState(status="INFO", word=_("Kept by hand"))
    return MirrorState(status="PENDING", word=_("Being created in Docker Hub"))


def _is_moving(hook: RemoteHook) -> bool:
    """Not yet as wanted, and either without a failure or just about to be tried again."""
    if hook.is_settled:
        return False
    return not hook.error_code or (hook.wake_at is not None and hook.wake_at <= now())


def _moving_word(hook: RemoteHook) -> str:
    if hook.desired == Presence.PRESENT:
        return _("Being created in Docker Hub")
    return _("The old one is being removed from Docker Hub")


def _failed_word(hook: RemoteHook) -> str:
    if hook.desired == Presence.PRESENT:
        return _("Not created in Docker Hub")
    return _("The old one is not removed from Docker Hub")


def _last_events(webhooks: Sequence[DockerWebhook]) -> dict[UUID | None, RegistryEvent]:
    newest = RegistryEvent.objects.filter(webhook=OuterRef("pk")).order_by("-created_at")
    asked = DockerWebhook.objects.filter(pk__in=[webhook.pk for webhook in webhooks])
    keys = asked.annotate(last=Subquery(newest.values("pk")[:1])).values("last")
    found = RegistryEvent.objects.filter(pk__in=keys).defer("body", "headers", "steps")
    return {event.webhook_id: event for event in found}


def _tokens_of(webhooks: Sequence[DockerWebhook]) -> dict[UUID, ApiToken]:
    """The token of each webhook, dead or alive; two queries for all of them."""
    texts = {webhook.pk: webhook.api_token.strip() for webhook in webhooks}
    values = _variable_values(webhooks)
    for webhook in webhooks:
        if variable := VARIABLE.fullmatch(texts[webhook.pk]):
            texts[webhook.pk] = values.get((webhook.project_id, variable[1]), "")
    digests = {key: digest_of(text) for key, text in texts.items() if text}
    rows = ApiToken.objects.filter(digest__in=digests.values()).select_related("owner")
    found = {token.digest: token for token in rows}
    return {key: found[digest] for key, digest in digests.items() if digest in found}


def _variable_values(webhooks: Sequence[DockerWebhook]) -> dict[TokenPlace, str]:
    named = [VARIABLE.fullmatch(webhook.api_token.strip()) for webhook in webhooks]
    rows = Variable.objects.filter(
        project__in={webhook.project_id for webhook in webhooks},
        name__in={found[1] for found in named if found},
    )
    return {(row.project_id, row.name): row.value for row in rows}


def _token_state(token: ApiToken | None) -> TokenState:
    if token is None:
        return TokenState(status="ERRORED", word=_("Unknown: enter a valid token"))
    if token.revoked_at is not None:
        return TokenState(status="EXPIRED", word=_("Revoked: enter another token"))
    if not token.owner.is_active:
        return TokenState(status="EXPIRED", word=_("Its owner's account is closed"))
    left = token.expires_at - now()
    if left <= timedelta(0):
        return TokenState(status="EXPIRED", word=_("Expired: enter another token"), token=token)
    if left < EXPIRES_SOON:
        words = ngettext("Expires in %(days)s day", "Expires in %(days)s days", left.days)
        return TokenState(status="EXPIRING", word=words % {"days": left.days}, token=token)
    return TokenState(token=token)
