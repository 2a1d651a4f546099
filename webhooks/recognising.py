"""Says whose delivery it is, by the address that it came to and what it shows as a proof."""

from __future__ import annotations

import logging
from typing import Any, TypeAlias
from uuid import UUID

from django.db.models import Q, QuerySet, TextField, Value
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Coalesce, NullIf

from codestream.core.crypto import UndecipherableError, fingerprint
from codestream.core.prepared import Asked, Prepared
from endpoints.server_types import server_type_named
from webhooks.models import ListenerSecret
from webhooks.proof import Proof, is_shown
from webhooks.readers import registry_kind_of
from webhooks.services import Addressee

MOST_REMEMBERED = 1000
logger = logging.getLogger(__name__)
_Found: TypeAlias = tuple[UUID, str, UUID, str, str]
_remembered: dict[tuple[UUID | None, str], Addressee] = {}


def recognise(proof: Proof, listener_id: UUID | None) -> tuple[Addressee | None, list[str]]:
    """Find whose delivery it is, None without a proof; and, where it is signed, the secrets of
    which one has to have signed it.
    """
    if found := _found_by(proof.token, listener_id):
        return found, []
    if listener_id is None:
        return None, []
    try:
        to, secrets = _named(listener_id)
    except UndecipherableError as error:
        logger.error("What a delivery shows cannot be compared: %s", error)
        return None, []
    if is_shown(proof, secrets):
        # LOOKUP_KEY was changed.
        return to, []
    return (to, secrets) if proof.signature else (None, [])


def remembered(lookup: str, listener_id: UUID | None) -> Addressee | None:
    """Return for whom the last delivery with this token, known by its hash, was; a guess."""
    return _remembered.get((listener_id, lookup))


def forget(lookup: str, listener_id: UUID | None) -> None:
    """Look anew for whom the next delivery with this token is."""
    _remembered.pop((listener_id, lookup), None)


def is_still_for(to: Addressee, lookup: str) -> Asked:
    """Ask whether this token is still that of a webhook with just these names."""
    names = (to.name, to.project_name, to.server_type)
    return _STILL.asked(lookup, to.webhook, to.project, *names)


def _found_by(token: str, listener_id: UUID | None) -> Addressee | None:
    """Find the webhook by the keyed hash of its token; the manual's address names no webhook."""
    if not token:
        return None
    lookup = fingerprint(token)
    if listener_id is None:
        found = _BY_TOKEN.first(lookup)
    else:
        found = _BY_ADDRESS_AND_TOKEN.first(listener_id, lookup)
    if found is None:
        return None
    if len(_remembered) >= MOST_REMEMBERED:
        _remembered.clear()
    to = _remembered[listener_id, lookup] = _addressee(found)
    return to


def _named(listener_id: UUID) -> tuple[Addressee | None, list[str]]:
    """Find the webhook of this address, and the secrets of which a delivery must prove one."""
    found = _BY_ADDRESS.all(listener_id)
    to = _addressee(found[0][1:]) if found else None
    return to, [secret for secret, *_ in found]


def _addressee(found: _Found) -> Addressee:
    webhook, name, project, project_name, server_type = found
    return Addressee(
        webhook=webhook,
        name=name,
        project=project,
        project_name=project_name,
        registry=registry_kind_of(server_type_named(server_type)),
        server_type=server_type,
    )


def _accepted(*columns: str) -> QuerySet[ListenerSecret, Any]:
    """The secrets that are accepted, each with as much of its webhook as a delivery needs.

    One that was replaced is accepted for as long as its hook is there.
    """
    # SQLite's word for the JSON value that is none; PostgreSQL answers NULL.
    server_type = NullIf(
        KeyTextTransform("serverType", "webhook__endpoint__properties"), Value("null")
    )
    return ListenerSecret.objects.annotate(
        server_type=Coalesce(server_type, Value(""), output_field=TextField())
    ).values_list(
        *columns,
        "webhook",
        "webhook__name",
        "webhook__project",
        "webhook__project__name",
        "server_type",
    )


_BY_ADDRESS: Prepared[tuple[Any, ...]] = Prepared(
    lambda listener: _accepted("secret").filter(webhook__listener_id=listener)
)
_BY_TOKEN: Prepared[_Found] = Prepared(lambda lookup: _accepted().filter(lookup=lookup))
_BY_ADDRESS_AND_TOKEN: Prepared[_Found] = Prepared(
    lambda listener, lookup: _accepted().filter(webhook__listener_id=listener, lookup=lookup)
)
_STILL: Prepared[_Found] = Prepared(
    lambda lookup, webhook, project, name, project_name, server_type: (
        _accepted()
        .filter(lookup=lookup, webhook=webhook, webhook__name=name)
        .filter(webhook__project=project, webhook__project__name=project_name)
        # As a Q, since the stubs of Django do not know what is annotated elsewhere.
        .filter(Q(server_type=server_type))
    )
)
