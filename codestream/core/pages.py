"""How a page answers: whole, or only the part that HTMX asked for; 422 when a form has errors.
Also what every page does that deletes one thing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from django.contrib import messages
from django.forms import BaseForm
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django_htmx.middleware import HtmxDetails

from codestream.core.errors import Refused
from codestream.core.versions import DeletedMeanwhileError


def page(
    request: HttpRequest,
    template: str,
    context: Mapping[str, object],
    *,
    partial: str = "",
    status: int = 200,
) -> HttpResponse:
    """Render ``template``, or only its named ``partial`` when HTMX asks for a fragment."""
    name = f"{template}#{partial}" if partial and wants_fragment(request) else template
    return render(request, name, dict(context), status=status)


def submitted(request: HttpRequest) -> QueryDict | None:
    """What a form was sent with, even if it is empty; None when the page is only looked at."""
    return request.POST if request.method == "POST" else None


def wants_fragment(request: HttpRequest) -> bool:
    """Whether HTMX asks for a part; a boosted link and the way back want the whole page."""
    htmx = HtmxDetails(request)
    return bool(htmx) and not htmx.boosted and not htmx.history_restore_request


def came_from(request: HttpRequest) -> str:
    """The page of this site that a form of the top bar was sent from: its field ``next``."""
    target = request.POST.get("next", "")
    return target if url_has_allowed_host_and_scheme(target, {request.get_host()}) else "/"


def answer_deletion(
    request: HttpRequest, delete: Callable[[], None], *, done: str, after: str, else_to: str
) -> HttpResponse:
    """Delete, say that it is ``done`` and go to the page ``after`` it; where it is Refused, say why
    and go to the page ``else_to``.
    """
    try:
        delete()
    except DeletedMeanwhileError:
        pass  # by another window; it is gone, as was wished
    except Refused as refusal:
        messages.error(request, refusal.user_message)
        return redirect(else_to)
    messages.success(request, done)
    return redirect(after)


def form_status(form: BaseForm) -> int:
    """422 for a form with errors, else 200."""
    return 422 if form.is_bound and form.errors else 200
