"""One view: it writes the body of a request down, commits it, and answers."""

from __future__ import annotations

from django.http import HttpRequest, JsonResponse
from django.urls import path

from benchmarks.bare import insert


def receive(request: HttpRequest) -> JsonResponse:
    """Do the least that a receiver can do."""
    answer = JsonResponse({"id": insert(request.body)})
    answer.headers["Content-Length"] = str(len(answer.content))
    return answer


urlpatterns = [path("", receive)]
