"""What people and programs can do with webhooks and deliveries: each is one transaction."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Self
from uuid import UUID, uuid4

from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils.translation import gettext as _

from codestream.accounts.models import ApiToken, User
from codestream.accounts.services import find_token
from codestream.core.clock import database_now, now
from codestream.core.errors import Refused
from codestream.core.metrics import EVENTS
from codestream.core.prepared import Asked
from codestream.core.rows import insert, insert_if
from codestream.core.versions import require_present, require_unchanged
from codestream.core.words import Words
from codestream.core.work import announce
from codestream.projects.models import Variable
from webhooks.matching import Step, StepName, StepOutcome, Verdict
from webhooks.models import (
    DockerWebhook,
    HookReveal,
    ListenerSecret,
    RefusedDelivery,
    RegistryEvent,
)

VARIABLE = re.compile(r"\$\{var\.([A-Za-z0-9_-]+)\}")
MOST_REFUSALS_A_MINUTE = 1000
_SWITCH = ("enabled", "stopped_because", "updated_at")


class SecretTakenError(Refused):
    """Another webhook has, or had, this secret token."""

    code = "secret_taken"


@transaction.atomic
def save_webhook(webhook: DockerWebhook, *, by: User, secret: str = "") -> DockerWebhook:
    """Create or change a webhook, with another secret token where one is given; Docker Hub
    follows. Raises Refused when the name is taken, SecretTakenError for the secret, and
    ChangedMeanwhileError or DeletedMeanwhileError, also for what the webhook needs.
    """
    # In this order: a judgement holds the pipeline, and who saves the endpoint holds that, and both
    # may then change the webhook and its hooks.
    for needed in (webhook.pipeline, webhook.endpoint):
        if needed is not None:
            require_present(needed)
    webhook.lock_hooks()
    require_unchanged(webhook)
    webhook.edited_by = by
    if secret:
        # First: what Docker Hub should hold is written down when the webhook is saved.
        _change_secret(webhook, secret)
    try:
        with transaction.atomic():
            webhook.save()
    except IntegrityError as error:
        raise Refused(_("The project has a webhook with this name.")) from error
    return webhook


def _change_secret(webhook: DockerWebhook, text: str) -> None:
    live = webhook.secrets.filter(retired_at=None)
    if text in [row.secret for row in live]:
        return
    live.update(retired_at=now())
    try:
        with transaction.atomic():
            ListenerSecret.issue(webhook, text)
    except IntegrityError as error:
        raise SecretTakenError(_("Choose another secret token: this one is used up.")) from error


@transaction.atomic
def reveal_url(*, webhook: DockerWebhook, by: User, remote_addr: str | None) -> str:
    """Return the hook URL with its secret, and remember who was shown it. Raises
    DeletedMeanwhileError.
    """
    require_present(webhook)
    secret = webhook.secrets.get(retired_at=None)
    HookReveal.objects.create(
        webhook=webhook, webhook_name=webhook.name, actor=by.username, remote_addr=remote_addr
    )
    return webhook.hook_url(secret.secret)


@transaction.atomic
def set_enabled(*, webhook: DockerWebhook, enabled: bool, by: User) -> None:
    """Switch the webhook on or off. Off: pushes are written down and start nothing, and those that
    come without a delivery are not looked for, not even when it is on again.

    Raises DeletedMeanwhileError.
    """
    webhook.lock()
    webhook.enabled, webhook.stopped_because = enabled, ""
    webhook.edited_by = by
    webhook.save(update_fields=[*_SWITCH, "recover_since", "look_at", "edited_by"])


@transaction.atomic
def stop_webhook(*, webhook: DockerWebhook, because: Words) -> None:
    """Switch the webhook off without anybody's wish, and say why on its card.

    Raises DeletedMeanwhileError.
    """
    webhook.lock()
    webhook.enabled, webhook.stopped_because = False, because
    webhook.save(update_fields=_SWITCH)


def delete_webhook(*, webhook: DockerWebhook) -> None:
    """Delete the webhook; its hook in Docker Hub goes too, its deliveries stay."""
    webhook.delete()


def resolve_token(webhook: DockerWebhook) -> ApiToken | None:
    """Return the live token behind the webhook's API token, a literal or ``${var.name}``."""
    text = webhook.api_token.strip()
    if name := variable_of_token(webhook):
        rows = Variable.objects.filter(project_id=webhook.project_id, name=name)
        text = next((row.value for row in rows), "")
    return find_token(text) if text else None


def variable_of_token(webhook: DockerWebhook) -> str:
    """The name of the variable that holds the webhook's API token, empty for a literal one."""
    found = VARIABLE.fullmatch(webhook.api_token.strip())
    return found[1] if found else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Addressee:
    """A webhook as far as its deliveries are written down with it; ``registry`` says who sends,
    as its endpoint's ``server_type`` does, which may be empty.
    """

    webhook: UUID
    name: str
    project: UUID
    project_name: str
    registry: str
    server_type: str = ""

    @classmethod
    def of(cls, webhook: DockerWebhook) -> Self:
        """Take it from a webhook that is at hand."""
        return cls(
            webhook=webhook.pk,
            name=webhook.name,
            project=webhook.project_id,
            project_name=webhook.project.name,
            registry=webhook.registry_kind,
        )


def receive_event(
    *, webhook: DockerWebhook, body: bytes, headers: Mapping[str, str], remote_addr: str | None
) -> RegistryEvent:
    """Write the delivery of one push down; a worker judges it."""
    to = Addressee.of(webhook)
    (event,) = receive_events(to=to, body=body, headers=headers, remote_addr=remote_addr)
    return event


def receive_events(
    *,
    to: Addressee,
    body: bytes,
    headers: Mapping[str, str],
    remote_addr: str | None,
    parts: int = 1,
) -> list[RegistryEvent]:
    """Write a delivery down, as one row for each of the pushes that it tells of."""
    events = [new_event(to, body, headers, remote_addr) for _ in range(parts)]
    for part, event in enumerate(events):
        event.part, event.wake_at = part, database_now()
    insert(*events)
    _announce(events[0].pk, to.webhook)
    return events


def receive_event_if(
    holds: Asked,
    *,
    to: Addressee,
    body: bytes,
    headers: Mapping[str, str],
    remote_addr: str | None,
) -> UUID | None:
    """Write the delivery of one push down if the question has an answer at that moment; return its
    key.
    """
    key, moment = uuid4(), now()
    values = {
        "id": key,
        "created_at": moment,
        "updated_at": moment,
        "wake_at": database_now(),
        "headers": headers,
        "remote_addr": remote_addr,
        "body": body,
        **_columns_of(to),
    }
    if not insert_if(holds, RegistryEvent, values):
        return None
    _announce(key, to.webhook)
    return key


def reject_event(
    *,
    to: Addressee,
    body: bytes,
    headers: Mapping[str, str],
    remote_addr: str | None,
    reason_code: str,
    message: Words,
) -> RegistryEvent:
    """Write down a delivery that cannot even be read, with its verdict."""
    event = new_event(to, body, headers, remote_addr)
    event.verdict, event.reason_code = Verdict.REJECTED, reason_code
    event.say(message)
    step = Step(name=StepName.BODY, outcome=StepOutcome.FAILED, detail=message)
    event.steps = [step.as_json()]
    event.save(force_insert=True)
    EVENTS.labels(event.verdict).inc()
    return event


@transaction.atomic
def rerun_event(*, event: RegistryEvent, by: User) -> RegistryEvent:
    """Let what an earlier delivery told of be judged again, by the webhook as it stands now.

    The digest stays that of the first time. Raises Refused for a delivery that cannot be read or
    whose webhook is deleted, and DeletedMeanwhileError when either is meanwhile.
    """
    known = DockerWebhook.objects.select_related("project", "endpoint")
    webhook = known.filter(pk=event.webhook_id).first() if event.webhook_id else None
    if webhook is None:
        raise Refused(_("The webhook of this delivery is deleted."))
    if not event.image:
        raise Refused(_("This delivery names no image that could run again."))
    to = Addressee.of(webhook)
    again = new_event(to, bytes(event.body), event.headers, event.remote_addr)
    again.source, again.registry = RegistryEvent.Source.RERUN, event.registry
    again.part, again.rerun_of, again.rerun_by = event.part, event, by.username
    again.wake_at = database_now()
    # In this order: who deletes the webhook holds it and then changes its deliveries.
    require_present(webhook)
    require_present(event)
    again.save(force_insert=True)
    _announce(again.pk, to.webhook)
    return again


def _announce(key: UUID, webhook: UUID) -> None:
    """Tell a worker of the deliveries to this webhook, which it judges one after another."""
    announce(RegistryEvent, key, line=str(webhook))


def new_event(
    to: Addressee,
    body: bytes,
    headers: Mapping[str, str] = MappingProxyType({}),
    remote_addr: str | None = None,
) -> RegistryEvent:
    """A delivery to the webhook, not written down yet."""
    return RegistryEvent(
        body=body, headers=dict(headers), remote_addr=remote_addr, **_columns_of(to)
    )


def _columns_of(to: Addressee) -> dict[str, Any]:
    return {
        "webhook_id": to.webhook,
        "webhook_name": to.name,
        "project_id": to.project,
        "project_name": to.project_name,
        "registry": to.registry,
    }


def count_refusal(*, remote_addr: str | None, reason: str, webhook: UUID | None = None) -> None:
    """Count an attempt without a valid token; no body is kept, and the number of rows is capped."""
    minute = now().replace(second=0, microsecond=0)
    key: dict[str, Any] = {"remote_addr": remote_addr, "reason": reason, "minute": minute}
    key["webhook_id"] = webhook
    if RefusedDelivery.objects.filter(**key).update(count=F("count") + 1):
        return
    if RefusedDelivery.objects.filter(minute=minute).count() < MOST_REFUSALS_A_MINUTE:
        RefusedDelivery.objects.get_or_create(**key)
