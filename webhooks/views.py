"""Pages of webhooks for Docker. The secret of a hook URL leaves the server only by ``reveal``."""

from __future__ import annotations

from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from codestream.accounts.requests import SignedInRequest
from codestream.core.client_address import client_address
from codestream.core.errors import Refused
from codestream.core.live import WHILE_LIVE
from codestream.core.pages import form_status, page, submitted
from codestream.core.versions import ChangedMeanwhileError, DeletedMeanwhileError
from codestream.projects.access import projects_allowing
from codestream.projects.permissions import Action
from endpoints.models import EndpointKind
from webhooks import drafts, services
from webhooks.cards import cards_of
from webhooks.finding import writable_webhook
from webhooks.forms import BOXES, TryForm, WebhookForm
from webhooks.mirror_state import leftovers_for
from webhooks.models import DockerWebhook
from webhooks.trying import Trial, try_out

REVEALS_SHOWN = 5


@login_required
@require_safe
def webhook_list(request: SignedInRequest) -> HttpResponse:
    """The webhooks of every project that the person sees."""
    writable = set(projects_allowing(request.user, Action.WRITE).values_list("pk", flat=True))
    found = DockerWebhook.objects.visible_to(request.user)
    found = found.select_related("project", "endpoint", "pipeline")
    webhooks = list(
        found.prefetch_related("remote_hooks__endpoint").order_by("project__name", "name")
    )
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


@sensitive_post_parameters("api_token", "secret_token")
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def new(request: SignedInRequest) -> HttpResponse:
    """Make a webhook; it is enabled at once. The address may choose its pipeline and endpoint."""
    require_a_place(request)
    form = WebhookForm(_sent(request), user=request.user, entered=_entered(request))
    webhook = DockerWebhook()
    if form.is_valid() and _saved(request, form, webhook):
        return redirect(_card(webhook))
    return form_page(request, form)


@sensitive_post_parameters("api_token", "secret_token")
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def edit(request: SignedInRequest, pk: UUID) -> HttpResponse:
    """Change a webhook; its project stays."""
    webhook = writable_webhook(request.user, pk)
    form = WebhookForm(
        _sent(request), user=request.user, webhook=webhook, entered=_entered(request)
    )
    if form.is_valid() and _saved(request, form, webhook):
        return redirect(_card(webhook))
    is_as_saved = not form.is_bound and "draft" not in request.GET
    return form_page(request, form, trial=try_out(webhook, "") if is_as_saved else None)


@sensitive_post_parameters("api_token", "secret_token")
@login_required
@require_POST
def create_endpoint(request: SignedInRequest, pk: UUID | None = None) -> HttpResponse:
    """Keep the half-filled form and make an endpoint, which leads back to the form."""
    if pk is None:
        require_a_place(request)
        project, back = request.POST.get("project", ""), reverse("webhooks:new")
    else:
        project, back = (
            writable_webhook(request.user, pk).project.name,
            reverse("webhooks:edit", args=[pk]),
        )
    drafts.keep_draft(request.session, request.POST)
    asked = {"type": EndpointKind.DOCKER_REGISTRY, "project": project, "next": f"{back}?draft=1"}
    return redirect(f"{reverse('endpoints:new')}?{urlencode(asked)}")


@login_required
@require_POST
def change_enabled(request: SignedInRequest, pk: UUID) -> HttpResponse:
    """Switch a webhook on or off."""
    webhook = writable_webhook(request.user, pk)
    enabled = request.POST.get("enabled") == "on"
    try:
        services.set_enabled(webhook=webhook, enabled=enabled, by=request.user)
    except Refused as refusal:
        messages.error(request, refusal.user_message)
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
    """Show the hook URL with its secret in this one answer; who saw it is written down."""
    webhook = writable_webhook(request.user, pk)
    address = client_address(request)
    url = services.reveal_url(webhook=webhook, by=request.user, remote_addr=address or None)
    context = {"nav": "docker", "webhook": webhook, "url": url}
    return page(request, "webhooks/url.html", context, partial="shown")


def require_a_place(request: SignedInRequest) -> None:
    """Refuse who may write in no project."""
    if not projects_allowing(request.user, Action.WRITE).exists():
        raise PermissionDenied


def _sent(request: SignedInRequest) -> QueryDict | None:
    """What the form was sent with; a draft that it goes on with adds its secrets."""
    entered = submitted(request)
    return None if entered is None else drafts.with_secrets(request.session, entered)


def _entered(request: SignedInRequest) -> dict[str, object]:
    """What the form shows before anything is sent: the draft, and what the address chooses."""
    draft = drafts.read_draft(request.session) if "draft" in request.GET else QueryDict()
    entered: dict[str, object] = {name: draft[name] for name in draft}
    if entered:
        entered |= {name: name in draft for name in BOXES}
    chosen = {name: request.GET[name] for name in ("pipeline", "endpoint") if name in request.GET}
    return entered | chosen


def _card(webhook: DockerWebhook) -> str:
    return f"{reverse('webhooks:list')}#hook-{webhook.pk}"


def _saved(request: SignedInRequest, form: WebhookForm, webhook: DockerWebhook) -> bool:
    """Save what was entered; False leaves the error on the form."""
    try:
        secret = form.cleaned_data["secret_token"]
        services.save_webhook(form.apply(webhook), by=request.user, secret=secret)
    except services.SecretTakenError as refusal:
        form.add_error("secret_token", refusal.user_message)
        return False
    except ChangedMeanwhileError as refusal:
        form.show_change(refusal)
        return False
    except DeletedMeanwhileError as refusal:
        form.add_error(None, refusal.user_message)
        return False
    except Refused as refusal:
        form.add_error("name", refusal.user_message)
        return False
    drafts.forget_draft(request.session)
    messages.success(request, _("Webhook %(name)s saved.") % {"name": webhook.name})
    return True


def form_page(
    request: SignedInRequest,
    form: WebhookForm,
    *,
    is_draft: bool = False,
    try_form: TryForm | None = None,
    trial: Trial | None = None,
) -> HttpResponse:
    """The page of the form, with what it came to when it was tried."""
    goes_on = is_draft or "draft" in request.GET
    tried = try_form or TryForm(user=request.user, webhook=form.webhook)
    context = {
        "try_form": tried,
        "trial": trial,
        "nav": "docker",
        "form": form,
        "webhook": form.webhook,
        "is_draft": goes_on,
        "draft_waits": form.webhook is None and drafts.is_kept(request.session),
        "kept": drafts.kept_secrets(request.session) if goes_on else (),
        "reveals": form.webhook.reveals.all()[:REVEALS_SHOWN] if form.webhook else (),
    }
    status = max(form_status(form), form_status(tried))
    return page(request, "webhooks/form.html", context, partial="declared", status=status)
