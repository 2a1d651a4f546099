"""Pages of one's own account: signing in and out, its language, API tokens."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.contrib.auth import login, logout
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, redirect
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from codestream.accounts.forms import ApiTokenForm, SignInForm
from codestream.accounts.models import ApiToken, Language
from codestream.accounts.requests import SignedInRequest
from codestream.accounts.services import choose_language, issue_token, revoke_token
from codestream.core.pages import came_from, form_status, page, submitted


@sensitive_post_parameters("password")
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def sign_in(request: HttpRequest) -> HttpResponse:
    """Sign in and go on to the page that asked for it."""
    target = _next(request)
    if request.method != "POST" and request.user.is_authenticated:
        return HttpResponseRedirect(target)
    form = SignInForm(request, submitted(request))
    if form.is_valid() and form.user is not None:
        login(request, form.user)
        if not form.cleaned_data["remember"]:
            request.session.set_expiry(0)
        return HttpResponseRedirect(target)
    context = {"form": form, "next": target}
    return page(request, "accounts/sign_in.html", context, status=form_status(form))


def _next(request: HttpRequest) -> str:
    target = request.POST.get("next") or request.GET.get("next") or ""
    safe = url_has_allowed_host_and_scheme(
        target, {request.get_host()}, require_https=request.is_secure()
    )
    return target if safe else "/"


@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    """End the session."""
    logout(request)
    return redirect("accounts:sign-in")


@login_required
@require_POST
def language(request: SignedInRequest) -> HttpResponse:
    """Keep the language with the account and go back to the page that asked."""
    chosen = request.POST.get("language")
    if chosen in Language.values:
        choose_language(user=request.user, language=Language(chosen))
    return HttpResponseRedirect(came_from(request))


@login_required
@require_safe
def tokens(request: SignedInRequest) -> HttpResponse:
    """The API tokens of the person who asks; nobody sees those of another."""
    return _tokens_page(request, ApiTokenForm())


@never_cache
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def new_token(request: SignedInRequest) -> HttpResponse:
    """Make a token and show it in this one answer; it is kept nowhere in the clear."""
    if request.method != "POST":
        return redirect("accounts:tokens")
    form = ApiTokenForm(request.POST)
    if not form.is_valid():
        return _tokens_page(request, form)
    token, secret = issue_token(owner=request.user, name=form.cleaned_data["name"])
    return _tokens_page(request, ApiTokenForm(), issued=token, secret=secret)


@login_required
@require_POST
def revoke(request: SignedInRequest, pk: UUID) -> HttpResponse:
    """End a token of one's own at once."""
    token = get_object_or_404(ApiToken, pk=pk, owner=request.user)
    revoke_token(token=token)
    messages.success(request, _("Token %(name)s revoked.") % {"name": token.name})
    return redirect("accounts:tokens")


def _tokens_page(
    request: SignedInRequest,
    form: ApiTokenForm,
    *,
    issued: ApiToken | None = None,
    secret: str = "",
) -> HttpResponse:
    context = {
        "form": form,
        "tokens": ApiToken.objects.filter(owner=request.user).select_related("owner"),
        "issued": issued,
        "secret": secret,
    }
    return page(request, "accounts/tokens.html", context, status=form_status(form))
