"""How the REST API says no: ``{timestamp, path, status, error, message}``, the message in words."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import exception_handler

from codestream.core.clock import now


def answer_error(error: Exception, context: dict[str, Any]) -> Response | None:
    """Return the answer to an error of the API; None lets a fault of ours be a 500."""
    response = exception_handler(error, context)
    if response is None:
        return None
    message = _words(error, response.data)
    response.data = {
        "timestamp": now().isoformat(),
        "path": context["request"].path,
        "status": response.status_code,
        "error": HTTPStatus(response.status_code).phrase,
        "message": message,
        "serverMessage": message,
    }
    return response


def _words(error: Exception, data: Any) -> str:
    if isinstance(error, Http404 | exceptions.NotFound):
        return "There is nothing at this address, or it is not yours to see."
    if isinstance(error, PermissionDenied):
        return str(error) or "Your role does not allow this."
    detail = data.get("detail") if isinstance(data, dict) else None
    return str(detail or data)
