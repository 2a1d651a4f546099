"""A webhook as its card shows it: how its mirror in Docker Hub stands, how long its token lives,
what its last delivery came to. A whole list is asked for at once, never card by card.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeAlias
from uuid import UUID

from django.db.models import OuterRef, Subquery
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from codestream.accounts.models import ApiToken
from codestream.accounts.services import digest_of
from codestream.core.clock import now
from codestream.projects.models import Variable
from webhooks.mirror_state import MirrorState, mirror_state
from webhooks.models import DockerWebhook, RefusedDelivery, RegistryEvent
from webhooks.refusals import last_refusal_of_each
from webhooks.services import VARIABLE

EXPIRES_SOON = timedelta(days=30)
TokenPlace: TypeAlias = tuple[UUID, str]


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
    last_refusal: RefusedDelivery | None
    may_write: bool
    may_administer: bool

    @property
    def status(self) -> str:
        """The worst of what is inside, for the band of the card."""
        if self.mirror.needs_person:
            return self.mirror.status
        return "ENABLED" if self.webhook.enabled else "DISABLED"


def cards_of(
    webhooks: Sequence[DockerWebhook],
    *,
    writable: Collection[UUID],
    administered: Collection[UUID],
) -> list[WebhookCard]:
    """The cards of webhooks that were read with their ``remote_hooks``."""
    tokens, events = _tokens_of(webhooks), _last_events(webhooks)
    refused = last_refusal_of_each([webhook.pk for webhook in webhooks])
    return [
        WebhookCard(
            webhook=webhook,
            mirror=mirror_state(webhook),
            token=_token_state(tokens.get(webhook.pk)),
            last_event=events.get(webhook.pk),
            last_refusal=refused.get(webhook.pk),
            may_write=webhook.project_id in writable,
            may_administer=webhook.project_id in administered,
        )
        for webhook in webhooks
    ]


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
