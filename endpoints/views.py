"""Pages of endpoints. A secret is taken in and never sent back."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from codestream.accounts.requests import SignedInRequest
from codestream.core.errors import Refused
from codestream.core.pages import form_status, page, submitted, wants_fragment
from codestream.projects.access import projects_allowing
from codestream.projects.models import Project
from codestream.projects.permissions import Action, can, require
from endpoints import services
from endpoints.forms import EndpointForm
from endpoints.kinds import KINDS, Kind
from endpoints.models import CheckStatus, Endpoint, EndpointKind


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointCard:
    """An endpoint as the list shows it."""

    endpoint: Endpoint
    may_change: bool

    @property
    def kind(self) -> Kind:
        """What there is to know about its kind."""
        return KINDS[self.endpoint.kind]

    @property
    def address(self) -> str:
        """Where the outside system is."""
        properties = self.endpoint.properties
        return properties.get("repoURL") or properties.get("kubernetesURL") or ""


@login_required
@require_safe
def endpoint_list(request: SignedInRequest) -> HttpResponse:
    """The endpoints of every project that the person sees."""
    writable = set(projects_allowing(request.user, Action.WRITE).values_list("pk", flat=True))
    ruled = set(projects_allowing(request.user, Action.ADMINISTER).values_list("pk", flat=True))
    found = Endpoint.objects.visible_to(request.user).select_related("project")
    cards = [
        EndpointCard(
            endpoint=each,
            may_change=each.project_id in (ruled if each.is_restricted else writable),
        )
        for each in found.order_by("project__name", "name")
    ]
    context = {"nav": "endpoints", "cards": cards, "may_create": bool(writable)}
    return page(request, "endpoints/list.html", context)


@sensitive_post_parameters()
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def new(request: SignedInRequest) -> HttpResponse:
    """Make an endpoint; ``type`` says which kind and so which fields, ``switch`` another one."""
    if not projects_allowing(request.user, Action.WRITE).exists():
        raise PermissionDenied
    kind = _wanted_kind(request)
    data = None if "switch" in request.POST else submitted(request)
    form = kind.form(data, user=request.user, entered=request.POST or request.GET)
    if form.is_valid():
        project = form.cleaned_data["project"]
        endpoint = _saved(request, form, Endpoint(project=project, kind=kind.kind))
        if endpoint is not None:
            return redirect("endpoints:list")
    return _form_page(request, form, kind, partial="kind")


@sensitive_post_parameters()
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def edit(request: SignedInRequest, pk: UUID) -> HttpResponse:
    """Change an endpoint; its project and its kind stay."""
    endpoint = _changeable(request, pk)
    kind = KINDS[endpoint.kind]
    form = kind.form(submitted(request), user=request.user, endpoint=endpoint)
    if form.is_valid() and _saved(request, form, endpoint) is not None:
        return redirect("endpoints:list")
    return _form_page(request, form, kind)


@login_required
@require_POST
def validate(request: SignedInRequest, pk: UUID) -> HttpResponse:
    """Sign in to the real system and say what came of it."""
    endpoint = services.validate_endpoint(endpoint=_changeable(request, pk))
    if not wants_fragment(request):
        _say_result(request, endpoint)
        return redirect("endpoints:list")
    card = EndpointCard(endpoint=endpoint, may_change=True)
    return page(request, "endpoints/card.html", {"card": card})


@login_required
@require_POST
def delete(request: SignedInRequest, pk: UUID) -> HttpResponse:
    """Delete an endpoint that nothing uses any more."""
    endpoint = _changeable(request, pk)
    try:
        services.delete_endpoint(endpoint=endpoint)
    except Refused as refusal:
        messages.error(request, refusal.user_message)
        return redirect("endpoints:edit", pk)
    messages.success(request, _("Endpoint %(name)s deleted.") % {"name": endpoint.name})
    return redirect("endpoints:list")


def _wanted_kind(request: SignedInRequest) -> Kind:
    """The kind that is asked for, a Docker Registry where none is named."""
    named = request.POST.get("switch") or request.POST.get("type") or request.GET.get("type")
    kind = KINDS.get(named or EndpointKind.DOCKER_REGISTRY)
    if kind is None:
        raise Http404
    return kind


def _changeable(request: SignedInRequest, pk: UUID) -> Endpoint:
    found = Endpoint.objects.visible_to(request.user).select_related("project")
    endpoint = get_object_or_404(found, pk=pk)
    action = Action.ADMINISTER if endpoint.is_restricted else Action.WRITE
    require(request.user, action, endpoint.project)
    return endpoint


def _saved(request: SignedInRequest, form: EndpointForm, endpoint: Endpoint) -> Endpoint | None:
    """Save what was entered, and check it when asked to; None leaves the error on the form."""
    restricted = form.cleaned_data["is_restricted"]
    if restricted and not _administers(request, endpoint.project):
        form.add_error("is_restricted", _("Only an administrator marks an endpoint restricted."))
        return None
    try:
        services.save_endpoint(
            endpoint=endpoint,
            name=form.cleaned_data["name"],
            description=form.cleaned_data["description"],
            is_restricted=restricted,
            properties=form.properties(),
            credentials=form.credentials(),
        )
    except Refused as refusal:
        form.add_error("name", refusal.user_message)
        return None
    if "validate" in request.POST:
        services.validate_endpoint(endpoint=endpoint)
    _say_saved(request, endpoint, checked="validate" in request.POST)
    return endpoint


def _administers(request: SignedInRequest, project: Project) -> bool:
    return can(request.user, Action.ADMINISTER, project)


def _say_saved(request: SignedInRequest, endpoint: Endpoint, *, checked: bool) -> None:
    said = {"name": endpoint.name, "result": endpoint.last_check_message}
    if not checked:
        messages.success(request, _("Endpoint %(name)s saved.") % said)
    elif _works(endpoint):
        messages.success(request, _("Endpoint %(name)s saved: %(result)s") % said)
    else:
        messages.warning(request, _("Endpoint %(name)s saved, but: %(result)s") % said)


def _works(endpoint: Endpoint) -> bool:
    return endpoint.last_check_status == CheckStatus.PASSED


def _say_result(request: SignedInRequest, endpoint: Endpoint) -> None:
    say = messages.success if _works(endpoint) else messages.error
    say(request, f"{endpoint.name}: {endpoint.last_check_message}")


def _form_page(
    request: SignedInRequest, form: EndpointForm, kind: Kind, *, partial: str = ""
) -> HttpResponse:
    context = {
        "nav": "endpoints",
        "form": form,
        "endpoint": form.endpoint,
        "kind": kind,
        "kinds": KINDS.values(),
        "kind_fields": [form[name] for name in form.kind_fields()],
    }
    return page(request, "endpoints/form.html", context, partial=partial, status=form_status(form))
