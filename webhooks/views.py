"""Pages of webhooks for Docker. The secret of a hook URL leaves the server only by ``reveal``."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from codestream.accounts.requests import SignedInRequest
from codestream.core.errors import Refused
from codestream.core.live import WHILE_LIVE
from codestream.core.pages import form_status, page, submitted
from codestream.projects.access import projects_allowing
from codestream.projects.permissions import Action
from pipelines.definition import InputParameter
from webhooks import services
from webhooks.cards import cards_of
from webhooks.finding import writable_webhook
from webhooks.forms import WebhookForm, inputs_to_give
from webhooks.mirror_state import leftovers_for, mirror_state
from webhooks.models import DockerWebhook


@login_required
@require_safe
def webhook_list(request: SignedInRequest) -> HttpResponse:
    """The webhooks of every project that the person sees."""
    writable = set(projects_allowing(request.user, Action.WRITE).values_list("pk", flat=True))
    found = DockerWebhook.objects.visible_to(request.user)
    found = found.select_related("project", "endpoint", "pipeline")
    webhooks = list(found.prefetch_related("remote_hooks").order_by("project__name", "name"))
    administered = set(
        projects_allowing(request.user, Action.ADMINISTER).values_list("pk", flat=True)
    )
    context = {
        "nav": "docker",
        "cards": cards_of(webhooks, writable=writable, administered=administered),
        "leftovers": leftovers_for(request.user),
        "rhythm": WHILE_LIVE,
        "may_create": bool(writable),
    }
    return page(request, "webhooks/list.html", context)


@sensitive_post_parameters("api_token")
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def new(request: SignedInRequest) -> HttpResponse:
    """Make a webhook; it is enabled at once. ``pipeline`` chooses one beforehand."""
    if not projects_allowing(request.user, Action.WRITE).exists():
        raise PermissionDenied
    chosen = request.GET.get("pipeline", "")
    form = WebhookForm(submitted(request), user=request.user, pipeline=chosen)
    if form.is_valid() and _saved(request, form, DockerWebhook()):
        return redirect("webhooks:list")
    return _form_page(request, form)


@sensitive_post_parameters("api_token")
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def edit(request: SignedInRequest, pk: UUID) -> HttpResponse:
    """Change a webhook; its project stays."""
    webhook = writable_webhook(request.user, pk)
    form = WebhookForm(submitted(request), user=request.user, webhook=webhook)
    if form.is_valid() and _saved(request, form, webhook):
        return redirect("webhooks:list")
    return _form_page(request, form)


@login_required
@require_POST
def change_enabled(request: SignedInRequest, pk: UUID) -> HttpResponse:
    """Switch a webhook on or off."""
    webhook = writable_webhook(request.user, pk)
    enabled = request.POST.get("enabled") == "on"
    services.set_enabled(webhook=webhook, enabled=enabled, by=request.user)
    return redirect("webhooks:list")


@login_required
@require_POST
def delete(request: SignedInRequest, pk: UUID) -> HttpResponse:
    """Delete a webhook, here and in Docker Hub."""
    webhook = writable_webhook(request.user, pk)
    services.delete_webhook(webhook=webhook)
    messages.success(request, _("Webhook %(name)s deleted.") % {"name": webhook.name})
    return redirect("webhooks:list")


@never_cache
@login_required
@require_POST
def reveal(request: SignedInRequest, pk: UUID) -> HttpResponse:
    """Show the hook URL with its secret, to be pasted into Docker Hub, and only then."""
    webhook = writable_webhook(request.user, pk)
    secret = webhook.secrets.filter(retired_at=None).first()
    if secret is None or not mirror_state(webhook).is_by_hand:
        raise Http404
    context = {"nav": "docker", "webhook": webhook, "url": webhook.hook_url(secret.secret)}
    return render(request, "webhooks/url.html", context)


def _saved(request: SignedInRequest, form: WebhookForm, webhook: DockerWebhook) -> bool:
    """Save what was entered; False leaves the error on the form."""
    try:
        services.save_webhook(form.apply(webhook), by=request.user)
    except Refused as refusal:
        form.add_error("name", refusal.user_message)
        return False
    messages.success(request, _("Webhook %(name)s saved.") % {"name": webhook.name})
    return True


def _form_page(request: SignedInRequest, form: WebhookForm) -> HttpResponse:
    context = {
        "nav": "docker",
        "form": form,
        "webhook": form.webhook,
        "declared": _declared(form),
    }
    return page(
        request, "webhooks/form.html", context, partial="declared", status=form_status(form)
    )


def _declared(form: WebhookForm) -> tuple[InputParameter, ...] | None:
    """The inputs that the chosen pipeline leaves to the form; None while none is chosen."""
    field = form.fields["pipeline"]
    value = form["pipeline"].value()
    chosen = field.queryset.filter(pk=value).first() if _is_key(value) else None  # type: ignore[attr-defined]
    return inputs_to_give(chosen) if chosen else None


def _is_key(value: object) -> bool:
    try:
        UUID(str(value))
    except ValueError:
        return False
    return True
