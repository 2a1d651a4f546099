"""Deliveries in the REST API (contracts/code-stream, 2.8 and 3.4)."""

from __future__ import annotations

from typing import cast
from uuid import UUID

from django.shortcuts import get_object_or_404
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from codestream.accounts.models import User
from codestream.api.lists import answer_list, micros
from codestream.core.json_types import Json
from codestream.projects.access import projects_seen
from executions.api import link_of as execution_link
from webhooks.models import RegistryEvent

_NOT_IN_LISTS = (
    "body",
    "headers",
    "steps",
    "message_words",
    "webhook__api_token",
    "webhook__inputs",
)


@api_view(["GET"])
def registry_events(request: Request) -> Response:
    """The deliveries that one can see, newest first."""
    columns = {"project_id": projects_seen(cast(User, request.user))}
    rows = RegistryEvent.objects.select_related("execution", "webhook__pipeline")
    return answer_list(request, rows.defer(*_NOT_IN_LISTS), columns, link=_link, document=_document)


@api_view(["GET"])
def registry_event(request: Request, pk: UUID) -> Response:
    """One delivery with the steps of its judgement."""
    found = RegistryEvent.objects.visible_to(cast(User, request.user))
    related = ("execution", "webhook__pipeline", "push__made_by__execution")
    row = get_object_or_404(found.select_related(*related), pk=pk)
    made_by = row.push.made_by if row.push else None
    pushed_by = execution_link(made_by.execution) if made_by else ""
    steps = [{key: step[key] for key in ("name", "outcome", "detail")} for step in row.steps]
    return Response({**_document(row), "pushedBy": pushed_by, "steps": steps})


def _link(row: RegistryEvent) -> str:
    return f"/codestream/api/registry-events/{row.pk}"


def _document(row: RegistryEvent) -> dict[str, Json]:
    execution = row.execution
    return {
        "id": str(row.pk),
        "name": row.webhook_name,
        "project": row.project_name,
        "owner": row.owner,
        "imageName": row.image,
        "tag": row.tag,
        "repo": row.repository,
        "repoNamespace": row.namespace,
        "repoStatus": row.repo_status,
        "pipeline": row.webhook.pipeline.name if row.webhook else "",
        "executionIndex": execution.index if execution else None,
        "executionLink": execution_link(execution) if execution else "",
        "executionStatus": execution.status if execution else "",
        "verdict": row.verdict,
        "reasonCode": row.reason_code,
        "message": row.message,
        "timeStampInMicros": micros(row.created_at),
        "_link": _link(row),
    }
