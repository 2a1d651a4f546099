"""The addresses that registries call: token, size limit, one insert, answer. Nothing else is done
before the answer; a worker judges what was written down.
"""

from __future__ import annotations

import logging
from typing import Any, TypeAlias
from uuid import UUID

from django.db.models import QuerySet
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from codestream.core.client_address import client_address
from codestream.core.crypto import UndecipherableError, fingerprint
from codestream.core.log_context import logging_about
from codestream.core.prepared import Prepared
from codestream.core.redact import redact_headers
from endpoints.server_types import server_type_named
from webhooks.models import DockerWebhook, ListenerSecret
from webhooks.proof import Proof, is_shown, is_signed, proof_of
from webhooks.readers import reader_for, registry_kind_of
from webhooks.registries.base import Malformed, Reason
from webhooks.services import Addressee, count_refusal, receive_events, reject_event

MAX_BODY = 1024 * 1024
DRAIN = 4 * MAX_BODY
"""How much of an over-long body is read and thrown away, so that the sender sees the answer."""
TRIES_ONCE = frozenset({"dockerhub"})
"""Registries that send a notification once. Others send one that was refused again and again, and
hold back all that come after it, so they are answered 200 whatever they sent.
"""
NOT_PROVEN = "The secureToken is missing or wrong."
logger = logging.getLogger(__name__)
_Found: TypeAlias = tuple[UUID, str, UUID, str, dict[str, Any]]


class AlwaysJson(BaseContentNegotiation):
    """Answers JSON whatever the sender accepts: a delivery is not refused over its answer."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        return None

    def select_renderer(self, request: Request, renderers: Any, format_suffix: Any = None) -> Any:
        return renderers[0], renderers[0].media_type


class RegistryWebhookListener(APIView):
    """``POST …/registry-webhook-listeners/{uuid}?secureToken=…`` (contracts/code-stream, 4).

    The secret may also come as ``Authorization``, or sign the body (``X-Hub-Signature-256``).
    Answers 200 ``{id, verdict}`` once the delivery is committed, with ``ids`` where it tells of
    several pushes; 400 for what is no JSON (Docker Hub only), 403 for a missing or wrong secret,
    404 for an unknown uuid, 413 over 1 MiB, 503 while the database
    writes nothing down (``codestream.api.errors``; send it again).
    """

    authentication_classes: list[Any] = []
    permission_classes = [AllowAny]
    parser_classes: list[Any] = []
    content_negotiation_class = AlwaysJson
    http_method_names = ["post"]

    def post(self, request: Request, listener_id: UUID | None = None) -> Response:
        proof = proof_of(request.query_params.get("secureToken", ""), request.headers)
        to, secrets = _recognise(proof, listener_id)
        if to is None:
            return _refuse_stranger(request, listener_id, proof)
        try:
            body = _read(request)
        except OSError:
            words = "The body broke off or is not encoded as announced."
            return _refuse(request, 400, "unreadable", words, to.webhook)
        if body is None:
            return _refuse(request, 413, "too_large", "The body is larger than 1 MiB.", to.webhook)
        if secrets and not is_signed(proof, secrets, body):
            return _refuse(request, 403, "wrong_token", NOT_PROVEN, to.webhook)
        return _accept(to, body, request)


def _refuse_stranger(request: Request, listener_id: UUID | None, proof: Proof) -> Response:
    """Answer what does not carry the secret of a webhook."""
    known = DockerWebhook.objects.filter(listener_id=listener_id) if listener_id else None
    webhook = known.values_list("pk", flat=True).first() if known is not None else None
    if webhook is None and listener_id:
        return _refuse(request, 404, "unknown_uuid", "There is no webhook at this address.")
    reason = "missing_token" if proof.is_missing else "wrong_token"
    return _refuse(request, 403, reason, NOT_PROVEN, webhook)


def _accept(to: Addressee, body: bytes, request: Request) -> Response:
    headers = redact_headers({**request.headers})
    address = _address(request)
    parsed = reader_for(to.registry).parse(body, headers)
    first = parsed[0]
    if isinstance(first, Malformed) and first.reason_code is Reason.NOT_JSON:
        event = reject_event(
            to=to,
            body=body,
            headers=headers,
            remote_addr=address,
            reason_code=first.reason_code,
            message=first.reason,
        )
        with logging_about(event=str(event.pk)):
            logger.info("A delivery for %s from %s is no JSON.", to.name, address)
        answer = {"id": str(event.pk), "verdict": event.verdict, "message": event.message}
        return Response(answer, status=400 if to.registry in TRIES_ONCE else 200)
    events = receive_events(
        to=to, body=body, headers=headers, remote_addr=address, parts=len(parsed)
    )
    for event in events:
        with logging_about(event=str(event.pk)):
            logger.info("A delivery for %s from %s is written down.", to.name, address)
    answer = {"id": str(events[0].pk), "verdict": events[0].verdict}
    return Response(answer if len(events) == 1 else {**answer, "ids": [str(e.pk) for e in events]})


def _recognise(proof: Proof, listener_id: UUID | None) -> tuple[Addressee | None, list[str]]:
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


def _found_by(token: str, listener_id: UUID | None) -> Addressee | None:
    """Find the webhook by the keyed hash of its token; the manual's address names no webhook."""
    if not token:
        return None
    lookup = fingerprint(token)
    if listener_id is None:
        found = _BY_TOKEN.first(lookup)
    else:
        found = _BY_ADDRESS_AND_TOKEN.first(UUID(str(listener_id)), lookup)
    return _addressee(found) if found else None


def _named(listener_id: UUID) -> tuple[Addressee | None, list[str]]:
    """Find the webhook of this address, and the secrets of which a delivery must prove one."""
    found = _BY_ADDRESS.all(UUID(str(listener_id)))
    to = _addressee(found[0][1:]) if found else None
    return to, [secret for secret, *_ in found]


def _accepted(*columns: str) -> QuerySet[ListenerSecret, Any]:
    """The secrets that are accepted, each with as much of its webhook as a delivery needs.

    One that was replaced is accepted for as long as its hook is there.
    """
    project = ("webhook__project", "webhook__project__name", "webhook__endpoint__properties")
    return ListenerSecret.objects.values_list(*columns, "webhook", "webhook__name", *project)


_BY_ADDRESS: Prepared[tuple[Any, ...]] = Prepared(
    lambda listener: _accepted("secret").filter(webhook__listener_id=listener)
)
_BY_TOKEN: Prepared[_Found] = Prepared(lambda lookup: _accepted().filter(lookup=lookup))
_BY_ADDRESS_AND_TOKEN: Prepared[_Found] = Prepared(
    lambda listener, lookup: _accepted().filter(webhook__listener_id=listener, lookup=lookup)
)


def _addressee(found: _Found) -> Addressee:
    webhook, name, project, project_name, properties = found
    registry = registry_kind_of(server_type_named(properties.get("serverType")))
    return Addressee(
        webhook=webhook, name=name, project=project, project_name=project_name, registry=registry
    )


def _address(request: Request) -> str | None:
    return client_address(request) or None


def _read(request: Request) -> bytes | None:
    """Return the body, None when it is over the limit. A chunked one has no length to go by."""
    length = request.META.get("CONTENT_LENGTH")
    stream = request if length else request.META["wsgi.input"]
    if length and int(length) > MAX_BODY:
        stream.read(min(int(length), DRAIN))
        return None
    if not length and "chunked" not in request.META.get("HTTP_TRANSFER_ENCODING", "").lower():
        return b""
    body: bytes = stream.read(MAX_BODY + 1)
    if len(body) > MAX_BODY:
        stream.read(DRAIN)
        return None
    return body


def _refuse(
    request: Request,
    status: int,
    reason: str,
    message: str,
    webhook: UUID | None = None,
) -> Response:
    """Count the attempt, and answer."""
    count_refusal(remote_addr=_address(request), reason=reason, webhook=webhook)
    return Response({"message": message, "status": status}, status=status)
