"""*Try it*: which pushes would start the pipeline, by the form as it stands or by a webhook."""

from __future__ import annotations

from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST, require_safe

from codestream.accounts.requests import SignedInRequest
from codestream.core.pages import form_status, page, wants_fragment
from webhooks import drafts
from webhooks.finding import visible_webhook, writable_webhook
from webhooks.forms import BOXES, TryForm, WebhookForm
from webhooks.models import DockerWebhook
from webhooks.trying import try_out
from webhooks.views import form_page, require_a_place


@sensitive_post_parameters("api_token", "secret_token")
@login_required
@require_POST
def try_form(request: SignedInRequest, pk: UUID | None = None) -> HttpResponse:
    """Try the form as it stands, filled in or not; without a script the whole page comes back."""
    webhook = None
    if pk is None:
        require_a_place(request)
    else:
        webhook = writable_webhook(request.user, pk)
    asked = TryForm(request.POST, user=request.user, webhook=webhook)
    trial = None
    if asked.is_valid():
        trial = try_out(asked.as_it_stands(), asked.cleaned_data["push"])
    if wants_fragment(request):
        context = {"try_form": asked, "trial": trial, "fragment": True}
        return page(request, "webhooks/tried.html", context, status=form_status(asked))
    return form_page(
        request, _entered_form(request, webhook), is_draft=True, try_form=asked, trial=trial
    )


@login_required
@require_safe
def try_webhook(request: SignedInRequest, pk: UUID) -> HttpResponse:
    """Try a webhook as it is saved."""
    webhook = visible_webhook(request.user, pk)
    text = request.GET.get("push", "")
    context = {"nav": "docker", "webhook": webhook, "push": text, "trial": try_out(webhook, text)}
    return page(request, "webhooks/try.html", context)


def _entered_form(request: SignedInRequest, webhook: DockerWebhook | None) -> WebhookForm:
    """The form with everything that was entered; its secrets wait in the draft."""
    drafts.keep_draft(request.session, request.POST)
    entered: dict[str, object] = {name: request.POST[name] for name in request.POST}
    entered |= {name: name in request.POST for name in BOXES}
    return WebhookForm(user=request.user, webhook=webhook, entered=entered)
