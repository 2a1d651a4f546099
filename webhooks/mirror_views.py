"""The live part of a webhook's card about Docker Hub, and the buttons that belong to it."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from codestream.accounts.requests import SignedInRequest
from codestream.core.errors import Refused
from codestream.core.live import NOTHING_NEW, WHILE_LIVE, unchanged
from codestream.core.pages import page, wants_fragment
from codestream.projects.models import Project
from codestream.projects.permissions import Action, can, require
from webhooks import mirror_services as services
from webhooks.finding import visible_webhook, writable_webhook
from webhooks.mirror_state import may_forget_action, mirror_state
from webhooks.models import RemoteHook


@login_required
@require_safe
def mirror(request: SignedInRequest, pk: UUID) -> HttpResponse:
    """How the webhook stands in Docker Hub: the part of its card that is live."""
    webhook = visible_webhook(request.user, pk)
    state = mirror_state(webhook)
    if not wants_fragment(request):
        return redirect("webhooks:list")
    if unchanged(request, state.version):
        return HttpResponse(status=NOTHING_NEW)
    context = {
        "webhook": webhook,
        "mirror": state,
        "may_write": can(request.user, Action.WRITE, webhook.project),
        "may_administer": can(request.user, Action.ADMINISTER, webhook.project),
        "rhythm": WHILE_LIVE,
    }
    return page(request, "webhooks/mirror.html", context)


@login_required
@require_POST
def retry(request: SignedInRequest, pk: UUID) -> HttpResponse:
    """Look at Docker Hub again at once."""
    services.retry_mirror(webhook=writable_webhook(request.user, pk))
    return redirect("webhooks:list")


@login_required
@require_POST
def check(request: SignedInRequest, pk: UUID) -> HttpResponse:
    """Look whether somebody changed the webhook in Docker Hub; nothing is changed there."""
    services.check_mirror(webhook=writable_webhook(request.user, pk))
    return redirect("webhooks:list")


@login_required
@require_POST
def repair(request: SignedInRequest, pk: UUID) -> HttpResponse:
    """Mend in Docker Hub what a check has found."""
    services.repair_mirror(webhook=writable_webhook(request.user, pk))
    return redirect("webhooks:list")


@login_required
@require_POST
def keep(request: SignedInRequest, pk: UUID) -> HttpResponse:
    """Choose who keeps the webhook in Docker Hub: Codestream, or a person by hand."""
    webhook = writable_webhook(request.user, pk)
    try:
        services.change_keeper(
            webhook=webhook, mode=request.POST.get("keeper", ""), by=request.user
        )
    except Refused as refusal:
        messages.error(request, refusal.user_message)
    return redirect("webhooks:list")


@login_required
@require_POST
def pasted(request: SignedInRequest, pk: UUID) -> HttpResponse:
    """Take down that a person has pasted the URL into Docker Hub."""
    services.confirm_by_hand(webhook=writable_webhook(request.user, pk), by=request.user)
    return redirect("webhooks:list")


@login_required
@require_POST
def retry_hook(request: SignedInRequest, pk: UUID) -> HttpResponse:
    """Try again to remove the hook of a webhook that is gone."""
    hook = _hook(request, pk)
    require(request.user, Action.WRITE, hook.endpoint.project)
    services.retry_hook(hook=hook)
    return redirect("webhooks:list")


@login_required
@require_POST
def forget_hook(request: SignedInRequest, pk: UUID) -> HttpResponse:
    """Take off our hands a hook that a person removed, or that cannot be removed from here."""
    hook = _hook(request, pk)
    require(request.user, may_forget_action(hook), hook.endpoint.project)
    try:
        services.forget_hook(hook=hook, by=request.user)
    except Refused as refusal:
        messages.error(request, refusal.user_message)
    else:
        words = _("Codestream no longer minds the webhook %(name)s in Docker Hub.")
        messages.success(request, words % {"name": hook.remote_name})
    return redirect("webhooks:list")


def _hook(request: SignedInRequest, pk: UUID) -> RemoteHook:
    seen = RemoteHook.objects.filter(endpoint__project__in=Project.objects.visible_to(request.user))
    return get_object_or_404(seen.select_related("endpoint__project", "webhook"), pk=pk)
