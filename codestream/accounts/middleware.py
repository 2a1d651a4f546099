"""What happens when a part of a page is asked for after the session has ended.

Who is signed in is decided by the views; this only turns their way to the sign-in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias, cast
from urllib.parse import urlencode, urlsplit

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import resolve_url
from django_htmx.http import HttpResponseClientRedirect
from django_htmx.middleware import HtmxDetails

Answer: TypeAlias = Callable[[HttpRequest], HttpResponse]


def whole_page_sign_in(get_response: Answer) -> Answer:
    """Lead the whole page of an HTMX request to the sign-in, instead of a part of it.

    Stands after ``HtmxMiddleware``. A redirect would be followed by the browser and its end put
    into the part; ``HX-Redirect`` (https://htmx.org/headers/hx-redirect/) leaves the page.
    """

    def answer(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        htmx = cast("HtmxDetails", request.htmx)  # type: ignore[attr-defined]
        if not htmx or not _leads_to_sign_in(response):
            return response
        return HttpResponseClientRedirect(_sign_in_for(htmx) or response.headers["Location"])

    return answer


def _leads_to_sign_in(response: HttpResponse) -> bool:
    target = urlsplit(response.headers.get("Location", ""))
    return response.status_code == 302 and target.path == resolve_url(settings.LOGIN_URL)


def _sign_in_for(htmx: HtmxDetails) -> str:
    """The sign-in that comes back to the page shown, not to the address of its part."""
    here = htmx.current_url_abs_path
    return f"{resolve_url(settings.LOGIN_URL)}?{urlencode({'next': here})}" if here else ""
