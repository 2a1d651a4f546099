"""The addresses that registries call: token, size limit, one insert, answer. Nothing else is done
before the answer; a worker judges what was written down.
"""

from __future__ import annotations

import logging
from hmac import compare_digest
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from codestream.core.crypto import fingerprint
from codestream.core.log_context import logging_about
from codestream.core.redact import redact_headers
from webhooks.models import DockerWebhook, ListenerSecret
from webhooks.readers import reader_for
from webhooks.registries.base import Malformed, Reason
from webhooks.services import count_refusal, receive_event, reject_event

MAX_BODY = 1024 * 1024
DRAIN = 4 * MAX_BODY
"""How much of an over-long body is read and thrown away, so that the sender sees the answer."""
logger = logging.getLogger(__name__)


class AlwaysJson(BaseContentNegotiation):
    """Answers JSON whatever the sender accepts: a delivery is not refused over its answer."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        return None

    def select_renderer(self, request: Request, renderers: Any, format_suffix: Any = None) -> Any:
        return renderers[0], renderers[0].media_type


class RegistryWebhookListener(APIView):
    """``POST …/registry-webhook-listeners/{uuid}?secureToken=…`` (contracts/code-stream, 4).

    Answers 200 ``{id, verdict}`` once the delivery is committed; 400 for what is no JSON, 403 for
    a missing or wrong token, 404 for an unknown uuid, 413 over 1 MiB, 503 while the database
    writes nothing down (``codestream.api.errors``; send it again).
    """

    authentication_classes: list[Any] = []
    permission_classes = [AllowAny]
    parser_classes: list[Any] = []
    content_negotiation_class = AlwaysJson
    http_method_names = ["post"]

    def post(self, request: Request, listener_id: UUID | None = None) -> Response:
        token = request.query_params.get("secureToken", "")
        address = request.META.get("REMOTE_ADDR") or None
        secrets = _secrets_of(listener_id) if listener_id else _secrets_by(token)
        if not _is_right(token, secrets):
            return _refuse(listener_id, token, address)
        webhook = secrets[0].webhook
        try:
            body = _read(request)
        except OSError:
            count_refusal(remote_addr=address, reason="unreadable", webhook=webhook)
            return _refused(400, "The body broke off or is not encoded as announced.")
        if body is None:
            count_refusal(remote_addr=address, reason="too_large", webhook=webhook)
            return _refused(413, "The body is larger than 1 MiB.")
        return _accept(webhook, body, request)


def _refuse(listener_id: UUID | None, token: str, address: str | None) -> Response:
    """Answer what does not carry the secret of a webhook, and count it."""
    webhook = DockerWebhook.objects.filter(listener_id=listener_id).first() if listener_id else None
    if webhook is None and listener_id:
        count_refusal(remote_addr=address, reason="unknown_uuid")
        return _refused(404, "There is no webhook at this address.")
    reason = "wrong_token" if token else "missing_token"
    count_refusal(remote_addr=address, reason=reason, webhook=webhook)
    return _refused(403, "The secureToken is missing or wrong.")


def _accept(webhook: DockerWebhook, body: bytes, request: Request) -> Response:
    headers = redact_headers({**request.headers})
    address = request.META.get("REMOTE_ADDR") or None
    parsed = reader_for(webhook.registry_kind).parse(body, headers)[0]
    if isinstance(parsed, Malformed) and parsed.reason_code is Reason.NOT_JSON:
        event = reject_event(
            webhook=webhook,
            body=body,
            headers=headers,
            remote_addr=address,
            reason_code=parsed.reason_code,
            message=parsed.reason,
        )
        with logging_about(event=str(event.pk)):
            logger.info("A delivery for %s from %s is no JSON.", webhook, address)
        answer = {"id": str(event.pk), "verdict": event.verdict, "message": parsed.reason}
        return Response(answer, status=400)
    event = receive_event(webhook=webhook, body=body, headers=headers, remote_addr=address)
    with logging_about(event=str(event.pk)):
        logger.info("A delivery for %s from %s is written down.", webhook, address)
    return Response({"id": str(event.pk), "verdict": event.verdict})


def _is_right(token: str, secrets: list[ListenerSecret]) -> bool:
    given = token.encode()
    return any(compare_digest(row.secret.encode(), given) for row in secrets)


def _secrets_of(listener_id: UUID) -> list[ListenerSecret]:
    """Find the secrets of which a delivery to this webhook must carry one."""
    return list(_secrets().filter(webhook__listener_id=listener_id))


def _secrets_by(token: str) -> list[ListenerSecret]:
    """Find the webhook by the keyed hash of its token: the manual's address names no webhook."""
    return list(_secrets().filter(lookup=fingerprint(token)))


def _secrets() -> QuerySet[ListenerSecret]:
    """The secrets that are accepted, with as much of their webhook as a delivery is stored with.

    One that was replaced is accepted for as long as its hook is there.
    """
    webhook = ("webhook__name", "webhook__registry_kind", "webhook__project__name")
    secrets = ListenerSecret.objects.select_related("webhook__project")
    return secrets.only("secret", *webhook)


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


def _refused(status: int, message: str) -> Response:
    return Response({"message": message, "status": status}, status=status)
