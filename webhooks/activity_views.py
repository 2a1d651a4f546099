"""Pages of deliveries: the activity of all webhooks, and one delivery with its judgement."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_POST, require_safe
from django.views.decorators.vary import vary_on_headers

from codestream.accounts.requests import SignedInRequest
from codestream.core.errors import Refused
from codestream.core.keyset import Place, read_rows
from codestream.core.listing import Question, ask
from codestream.core.live import NOTHING_NEW, WHILE_LIVE, rhythm, unchanged, version_of
from codestream.core.pages import page, wants_fragment
from codestream.core.redact import redact_body, redact_text
from codestream.core.segments import segments_of
from codestream.projects.access import projects_allowing
from codestream.projects.permissions import Action, can, require
from webhooks import services
from webhooks.forms import EventFilter
from webhooks.matching import Verdict
from webhooks.models import DockerWebhook, RefusedDelivery, RegistryEvent
from webhooks.refusals import last_refusals

PAGE_SIZE = 50
MOST_REFUSALS_SHOWN = 5
LONGEST_BODY_SHOWN = 64 * 1024
_LISTED = RegistryEvent.objects.select_related("execution").defer("body", "headers", "steps")


@login_required
@require_safe
@vary_on_headers("HX-Request")
def activity(request: SignedInRequest) -> HttpResponse:
    """The deliveries that the person sees, newest first; live while one of them is."""
    form = EventFilter(request.GET, user=request.user)
    shown, counts = ask(RegistryEvent.objects.filter(form.when()), _question(request, form))
    found = read_rows(_LISTED, shown)
    segments = segments_of(request.GET, "verdict", Verdict, counts)
    version = version_of([_standing(row) for row in found], [str(s.count) for s in segments])
    if unchanged(request, version):
        return HttpResponse(status=NOTHING_NEW)
    context = {
        "nav": "docker",
        "form": form,
        "segments": segments,
        "shown": shown,
        "filtered": any(request.GET.get(name) for name in (*form.fields, "verdict")),
        "version": version,
        "rows": found,
        "rhythm": rhythm(live=any(_is_live(row) for row in found), newest=shown.newest),
        "fragment": wants_fragment(request),
        "refusals": () if wants_fragment(request) else _refusals(form),
        "may_create": projects_allowing(request.user, Action.WRITE).exists(),
    }
    return page(request, "webhooks/activity.html", context, partial="live")


@login_required
@require_safe
@vary_on_headers("HX-Request")
def event(request: SignedInRequest, pk: UUID) -> HttpResponse:
    """One delivery: the verdict, the steps that led to it, what was received."""
    row = _visible(request, pk)
    version = version_of(_standing(row))
    if unchanged(request, version):
        return HttpResponse(status=NOTHING_NEW)
    body, secrets = bytes(row.body), _secrets_of(row)
    shown = body[:LONGEST_BODY_SHOWN].decode(errors="replace")
    context = {
        "nav": "docker",
        "event": row,
        "headers": {name: redact_text(text, secrets) for name, text in row.headers.items()},
        "callback_url": redact_body(row.callback_url, secrets),
        "made_by": row.push.made_by if row.push else None,
        "body": redact_body(shown, secrets),
        "body_size": len(body),
        "body_is_cut": len(body) > LONGEST_BODY_SHOWN,
        "may_rerun": _may_run_again(request, row),
        "version": version,
        "rhythm": WHILE_LIVE if _is_live(row) else "",
    }
    return page(request, "webhooks/event.html", context, partial="live")


@login_required
@require_POST
def rerun(request: SignedInRequest, pk: UUID) -> HttpResponse:
    """Let what the delivery told of run again."""
    row = _visible(request, pk)
    if row.project is not None:
        require(request.user, Action.EXECUTE, row.project)
    try:
        row = services.rerun_event(event=row, by=request.user)
    except Refused as refusal:
        messages.error(request, refusal.user_message)
    return redirect("webhooks:event", row.pk)


def _visible(request: SignedInRequest, pk: UUID) -> RegistryEvent:
    found = RegistryEvent.objects.visible_to(request.user)
    made_by = ("push__made_by__execution", "push__made_by__task_run__stage_run")
    related = ("execution", "webhook", "project", "duplicate_of__execution", "rerun_of", *made_by)
    return get_object_or_404(found.select_related(*related), pk=pk)


def _secrets_of(row: RegistryEvent) -> list[str]:
    """What a delivery may quote, and who reads of it must not learn."""
    return [each.secret for each in row.webhook.secrets.all()] if row.webhook else []


def _may_run_again(request: SignedInRequest, row: RegistryEvent) -> bool:
    is_runnable = row.webhook is not None and row.project is not None and bool(row.image)
    return is_runnable and can(request.user, Action.EXECUTE, row.project)  # type: ignore[arg-type]


def _refusals(form: EventFilter) -> list[RefusedDelivery]:
    """What of the webhooks that the list is about was refused before it was written down."""
    chosen = {name: form.cleaned_data.get(name) for name in ("project", "webhook")}
    found = DockerWebhook.objects.visible_to(form.user)
    if chosen["webhook"]:
        found = found.filter(pk=chosen["webhook"].pk)
    if chosen["project"]:
        found = found.filter(project=chosen["project"])
    return last_refusals(found, most=MOST_REFUSALS_SHOWN)


def _question(request: SignedInRequest, form: EventFilter) -> Question:
    return Question(
        columns=form.columns(),
        status="verdict",
        groups={verdict: (verdict,) for verdict in Verdict},
        chosen=request.GET.get("verdict", ""),
        mentions=form.mentions(),
        place=Place.of(request.GET),
        size=PAGE_SIZE,
    )


def _standing(row: RegistryEvent) -> tuple[UUID, str, str]:
    return row.pk, row.verdict, row.execution.status if row.execution else ""


def _is_live(row: RegistryEvent) -> bool:
    if row.verdict == Verdict.PENDING:
        return True
    return row.execution is not None and not row.execution.is_over
