"""Views that belong to no application: the theme, and what is answered when something is wrong."""

from __future__ import annotations

import sys

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.template.loader import render_to_string
from django.views import defaults
from django.views.decorators.http import require_POST

from codestream.core.context import THEME_COOKIE, THEMES
from codestream.core.context import theme as chosen_theme
from codestream.core.database_trouble import Trouble, as_unavailable, trouble_of
from codestream.core.log_context import logged_id
from codestream.core.pages import came_from, wants_fragment

SAFE = frozenset({"GET", "HEAD"})
A_YEAR = 365 * 24 * 60 * 60


@require_POST
def theme(request: HttpRequest) -> HttpResponse:
    """Remember the theme in a cookie and go back to the page that asked."""
    response = HttpResponseRedirect(came_from(request))
    chosen = request.POST.get("theme", "")
    if chosen in THEMES:
        response.set_cookie(
            THEME_COOKIE,
            chosen,
            max_age=A_YEAR,
            samesite="Lax",
            httponly=True,
            secure=request.is_secure(),
        )
    return response


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer 400, or 413 when the request was refused for its size."""
    if isinstance(exception, RequestDataTooBig):
        return render(request, "413.html", status=413)
    return render(request, "400.html", status=400)


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer 503 with the reason while the database is in trouble, else 500.

    Django calls this while it handles the error, wherever in the request it was raised.
    """
    error = sys.exc_info()[1]
    trouble = trouble_of(error)
    if error is None or trouble is None:
        return defaults.server_error(request)
    return as_unavailable(HttpResponse(_told(request, trouble)), request, trouble, error)


def _told(request: HttpRequest, trouble: Trouble) -> str:
    """The page, or a note for the page that asked for a part, without a question to the database:
    rendered outside the request, so that no context processor looks for an account.
    """
    context = {
        "trouble": trouble,
        "request_id": logged_id("request"),
        "again": request.get_full_path() if request.method in SAFE else "",
        **chosen_theme(request),
    }
    return render_to_string("503.html#note" if wants_fragment(request) else "503.html", context)
