"""Lets a delivery pass by what only pages need: sessions, languages, page headers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from django.http import HttpRequest, HttpResponse
from django.template.response import SimpleTemplateResponse
from django.urls import Resolver404, resolve

Answer: TypeAlias = Callable[[HttpRequest], HttpResponse]
RECEIVERS = "webhooks.receiver_urls"


def deliveries_first(get_response: Answer) -> Answer:
    """Answer a delivery at once; everything else goes on to the pages."""

    def answer(request: HttpRequest) -> HttpResponse:
        try:
            match = resolve(request.path_info, urlconf=RECEIVERS)
        except Resolver404:
            return get_response(request)
        request.resolver_match = match
        response: HttpResponse = match.func(request, *match.args, **match.kwargs)
        if isinstance(response, SimpleTemplateResponse):
            response = response.render()
        response.headers["Content-Length"] = str(len(response.content))
        return response

    return answer
