"""The addresses that registries call: token, size limit, one insert, answer. Nothing else is done
before the answer; a worker judges what was written down.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeGuard
from uuid import UUID

from django.db import IntegrityError
from django.http import JsonResponse
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.views import APIView

from codestream.core.client_address import client_address
from codestream.core.crypto import fingerprint
from codestream.core.log_context import logging_about
from codestream.core.redact import redact_headers
from webhooks.matching import Verdict
from webhooks.models import DockerWebhook
from webhooks.proof import Proof, is_signed, proof_of
from webhooks.readers import reader_for
from webhooks.recognising import forget, is_still_for, recognise, remembered
from webhooks.registries.base import Malformed, Parsed, Reason
from webhooks.services import (
    Addressee,
    count_refusal,
    receive_event_if,
    receive_events,
    reject_event,
)

MAX_BODY = 1024 * 1024
DRAIN = 4 * MAX_BODY
"""How much of an over-long body is read and thrown away, so that the sender sees the answer."""
TRIES_ONCE = frozenset({"dockerhub"})
"""Registries that send a notification once. Others send one that was refused again and again, and
hold back all that come after it, so they are answered 200 whatever they sent.
"""
NOT_PROVEN = "The secureToken is missing or wrong."
logger = logging.getLogger(__name__)


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

    def post(self, request: Request, listener_id: UUID | None = None) -> JsonResponse:
        sent = Sent(
            request=request,
            listener_id=UUID(str(listener_id)) if listener_id else None,
            proof=proof_of(request.query_params.get("secureToken", ""), request.headers),
        )
        try:
            return _accept_as_before(sent) or _accept_or_refuse(sent)
        except IntegrityError:
            # Whom it was for was being deleted when it was looked for, and is gone now.
            return _accept_or_refuse(sent)


@dataclass(kw_only=True)
class Sent:
    """A request, which may hold a delivery; its body is read when it is asked for."""

    request: Request
    listener_id: UUID | None
    proof: Proof

    @cached_property
    def body(self) -> bytes | Unread:
        """The body, or why there is none."""
        try:
            return _read(self.request)
        except OSError:
            return UNREADABLE

    @cached_property
    def headers(self) -> dict[str, str]:
        """The headers without secrets."""
        return redact_headers({**self.request.headers})

    @cached_property
    def address(self) -> str | None:
        return client_address(self.request) or None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unread:
    """How a body that is not taken is answered."""

    status: int
    reason: str
    message: str


UNREADABLE = Unread(
    status=400,
    reason="unreadable",
    message="The body broke off or is not encoded as announced.",
)
TOO_LARGE = Unread(status=413, reason="too_large", message="The body is larger than 1 MiB.")


def _accept_as_before(sent: Sent) -> JsonResponse | None:
    """Write down the delivery of one push to whom the last one with its token was for, in one
    statement, which looks whether it still is; None for whatever is not so plain.
    """
    lookup = fingerprint(sent.proof.token)
    to = remembered(lookup, sent.listener_id)
    if to is None or not isinstance(sent.body, bytes):
        return None
    parsed = reader_for(to.registry).parse(sent.body, sent.headers)
    if len(parsed) > 1 or _is_no_json(parsed[0]):
        return None
    key = receive_event_if(
        is_still_for(to, lookup),
        to=to,
        body=sent.body,
        headers=sent.headers,
        remote_addr=sent.address,
    )
    if key is None:
        forget(lookup, sent.listener_id)
        return None
    return _accepted([key], to, sent)


def _accept_or_refuse(sent: Sent) -> JsonResponse:
    to, secrets = recognise(sent.proof, sent.listener_id)
    if to is None:
        return _refuse_stranger(sent)
    body = sent.body
    if not isinstance(body, bytes):
        return _refuse(sent, body.status, body.reason, body.message, to.webhook)
    if secrets and not is_signed(sent.proof, secrets, body):
        return _refuse(sent, 403, "wrong_token", NOT_PROVEN, to.webhook)
    parsed = reader_for(to.registry).parse(body, sent.headers)
    if _is_no_json(parsed[0]):
        return _reject(parsed[0], to, body, sent)
    events = receive_events(
        to=to,
        body=body,
        headers=sent.headers,
        remote_addr=sent.address,
        parts=len(parsed),
    )
    return _accepted([event.pk for event in events], to, sent)


def _refuse_stranger(sent: Sent) -> JsonResponse:
    """Answer what does not carry the secret of a webhook."""
    listener_id = sent.listener_id
    known = DockerWebhook.objects.filter(listener_id=listener_id) if listener_id else None
    webhook = known.values_list("pk", flat=True).first() if known is not None else None
    if webhook is None and listener_id:
        return _refuse(sent, 404, "unknown_uuid", "There is no webhook at this address.")
    reason = "missing_token" if sent.proof.is_missing else "wrong_token"
    return _refuse(sent, 403, reason, NOT_PROVEN, webhook)


def _is_no_json(parsed: Parsed) -> TypeGuard[Malformed]:
    return isinstance(parsed, Malformed) and parsed.reason_code is Reason.NOT_JSON


def _reject(why: Malformed, to: Addressee, body: bytes, sent: Sent) -> JsonResponse:
    """Write down what cannot be read, and say so."""
    event = reject_event(
        to=to,
        body=body,
        headers=sent.headers,
        remote_addr=sent.address,
        reason_code=why.reason_code,
        message=why.reason,
    )
    with logging_about(event=str(event.pk)):
        logger.info("A delivery for %s from %s is no JSON.", to.name, sent.address)
    answer = {"id": str(event.pk), "verdict": event.verdict, "message": event.message}
    return JsonResponse(answer, status=400 if to.registry in TRIES_ONCE else 200)


def _accepted(events: list[UUID], to: Addressee, sent: Sent) -> JsonResponse:
    """Say that the delivery is written down."""
    ids = [str(event) for event in events]
    for key in ids:
        with logging_about(event=key):
            logger.info("A delivery for %s from %s is written down.", to.name, sent.address)
    answer = {"id": ids[0], "verdict": Verdict.PENDING}
    return JsonResponse(answer if len(ids) == 1 else {**answer, "ids": ids})


def _read(request: Request) -> bytes | Unread:
    """Return the body if it is not too large; a chunked one has no length to go by. Raises OSError
    where it breaks off.
    """
    length = request.META.get("CONTENT_LENGTH")
    stream = request if length else request.META["wsgi.input"]
    if length and int(length) > MAX_BODY:
        stream.read(min(int(length), DRAIN))
        return TOO_LARGE
    if not length and "chunked" not in request.META.get("HTTP_TRANSFER_ENCODING", "").lower():
        return b""
    body: bytes = stream.read(MAX_BODY + 1)
    if len(body) > MAX_BODY:
        stream.read(DRAIN)
        return TOO_LARGE
    return body


def _refuse(
    sent: Sent,
    status: int,
    reason: str,
    message: str,
    webhook: UUID | None = None,
) -> JsonResponse:
    """Count the attempt, and answer."""
    count_refusal(remote_addr=sent.address, reason=reason, webhook=webhook)
    return JsonResponse({"message": message, "status": status}, status=status)
