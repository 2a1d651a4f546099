"""What an account changes about every answer: its language, and where a part of a page leads when
the session has ended. Who may do what is decided by the views.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias, cast
from urllib.parse import urlencode, urlsplit

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import resolve_url
from django.utils import translation
from django_htmx.http import HttpResponseClientRedirect
from django_htmx.middleware import HtmxDetails

from codestream.accounts.models import User

Answer: TypeAlias = Callable[[HttpRequest], HttpResponse]


def own_language(get_response: Answer) -> Answer:
    """Answer in the language that the signed-in person has chosen, else in that of the browser.

    Stands after ``LocaleMiddleware``, which has chosen for the browser and ends what is begun here
    with the next request, and after ``AuthenticationMiddleware``. Who sends no session, as a
    registry or a program, is not looked for in the database.
    """

    def answer(request: HttpRequest) -> HttpResponse:
        user = request.user if settings.SESSION_COOKIE_NAME in request.COOKIES else None
        if isinstance(user, User) and user.language:
            translation.activate(user.language)
            request.LANGUAGE_CODE = user.language
        return get_response(request)

    return answer


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
