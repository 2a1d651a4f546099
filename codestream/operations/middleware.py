"""What happens around every request: it gets an id, it is counted, and probes go first."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable
from typing import TypeAlias

from django.http import HttpRequest, HttpResponse

from codestream.core.log_context import logging_about
from codestream.core.metrics import REQUEST_SECONDS
from codestream.operations.urls import urlpatterns

Answer: TypeAlias = Callable[[HttpRequest], HttpResponse]
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
PROBES: dict[str, Answer] = {f"/{place.pattern}": place.callback for place in urlpatterns}
REQUEST_ID = "X-Request-ID"
WELL_FORMED = re.compile(r"[A-Za-z0-9._-]{8,64}")


def identify(get_response: Answer) -> Answer:
    """Give the request an id, the sender's own if it is well-formed: for the log and the answer."""

    def answer(request: HttpRequest) -> HttpResponse:
        given = request.headers.get(REQUEST_ID, "")
        request_id = given if WELL_FORMED.fullmatch(given) else uuid.uuid4().hex
        with logging_about(request=request_id):
            response = get_response(request)
        response.headers[REQUEST_ID] = request_id
        return response

    return answer


def probes_first(get_response: Answer) -> Answer:
    """Answer probes and scrapes before ALLOWED_HOSTS counts: they call a machine by its address."""

    def answer(request: HttpRequest) -> HttpResponse:
        view = PROBES.get(request.path_info)
        return view(request) if view else get_response(request)

    return answer


def measure(get_response: Answer) -> Answer:
    """Count the request and how long it took, by the name of its view and never by its path."""

    def answer(request: HttpRequest) -> HttpResponse:
        started = time.monotonic()
        response = get_response(request)
        method = request.method if request.method in METHODS else "other"
        match = request.resolver_match
        view = match.view_name if match else "none"
        seconds = time.monotonic() - started
        REQUEST_SECONDS.labels(method, view, f"{response.status_code // 100}xx").observe(seconds)
        return response

    return answer
