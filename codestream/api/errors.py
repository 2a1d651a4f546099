"""How the REST API says no: ``{timestamp, path, status, error, message}``, the message in words;
and a ``code`` while the database is in trouble.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404
from rest_framework import exceptions
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import exception_handler

from codestream.core.clock import now
from codestream.core.database_trouble import Trouble, as_unavailable, trouble_of
from codestream.core.json_types import Json


def answer_error(error: Exception, context: dict[str, Any]) -> Response | None:
    """Return the answer to an error of the API; None lets a fault of ours be a 500."""
    if trouble := trouble_of(error):
        return _unavailable(trouble, error, context["request"])
    response = exception_handler(error, context)
    if response is None:
        return None
    message = _words(error, response.data)
    response.data = _body(context["request"], response.status_code, message)
    return response


def _unavailable(trouble: Trouble, error: Exception, request: Request) -> Response:
    message = f"{trouble.happened} {trouble.todo}"
    body = {**_body(request, HTTPStatus.SERVICE_UNAVAILABLE, message), "code": trouble.code}
    return as_unavailable(Response(body), request, trouble, error)


def _body(request: Request, status: int, message: str) -> dict[str, Json]:
    return {
        "timestamp": now().isoformat(),
        "path": request.path,
        "status": int(status),
        "error": HTTPStatus(status).phrase,
        "message": message,
        "serverMessage": message,
    }


def _words(error: Exception, data: Any) -> str:
    if isinstance(error, Http404 | exceptions.NotFound):
        return "There is nothing at this address, or it is not yours to see."
    if isinstance(error, PermissionDenied):
        return str(error) or "Your role does not allow this."
    detail = data.get("detail") if isinstance(data, dict) else None
    return str(detail or data)
