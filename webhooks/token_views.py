"""Generate token: a dialog over the webhook's form, and a page where there is no script.

The token is in one answer and nowhere else.
"""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from codestream.accounts.requests import SignedInRequest
from codestream.accounts.services import TooManyTriesError, generate_token
from codestream.core.client_address import client_address
from codestream.core.errors import Refused
from codestream.core.pages import form_status, page, submitted
from codestream.projects.access import projects_allowing
from codestream.projects.permissions import Action
from webhooks.forms import GenerateTokenForm

TOO_MANY = 429


@sensitive_post_parameters("password")
@never_cache
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def token(request: SignedInRequest) -> HttpResponse:
    """Ask for name and password, and show the new token of that account this once."""
    if not projects_allowing(request.user, Action.WRITE).exists():
        raise PermissionDenied
    asked = {"username": request.user.email, "project": request.GET.get("project", "")}
    form = GenerateTokenForm(submitted(request), initial=asked)
    context: dict[str, object] = {"nav": "docker", "form": form}
    headers, status = {}, 0
    if form.is_valid():
        try:
            context |= _issued(request, form)
        except TooManyTriesError as refusal:
            form.add_error(None, refusal.user_message)
            headers, status = {"Retry-After": str(refusal.seconds)}, TOO_MANY
        except Refused as refusal:
            form.add_error(None, refusal.user_message)
    status = status or form_status(form)
    answer = page(request, "webhooks/token.html", context, partial="dialog", status=status)
    for name, value in headers.items():
        answer.headers[name] = value
    return answer


def _issued(request: SignedInRequest, form: GenerateTokenForm) -> dict[str, object]:
    given = form.cleaned_data
    issued, secret = generate_token(
        username=given["username"],
        password=given["password"],
        address=client_address(request),
        name=_("Docker webhook"),
    )
    return {
        "issued": issued,
        "secret": secret,
        "is_own": issued.owner == request.user,
        "project": given["project"],
    }
