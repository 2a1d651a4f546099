"""Pages of endpoints. A secret is taken in and never sent back."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from codestream.accounts.requests import SignedInRequest
from codestream.core.certificates import CertificateFacts
from codestream.core.clock import now
from codestream.core.errors import CodeStreamError
from codestream.core.http import origin
from codestream.core.pages import answer_deletion, page, wants_fragment
from codestream.core.templatetags.look import said
from codestream.projects.access import projects_allowing
from codestream.projects.permissions import Action, require
from endpoints import services
from endpoints.forms import DockerRegistryForm, EndpointForm, KubernetesForm
from endpoints.kinds import KINDS, Kind
from endpoints.models import CheckStatus, Endpoint, EndpointKind
from endpoints.usage import pipelines_naming, users_of

FILLING = frozenset({"switch", "fill", "look", "accept"})
"""The buttons that fill the form further: they choose a type, read a kubeconfig, look at the
certificate of the server, accept it."""


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

    @property
    def proxy(self) -> str:
        """The proxy that stands between, empty where there is none."""
        return origin(self.endpoint.properties.get("proxyURL", ""))


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
    return _form_view(request, _wanted_kind(request), None)


@sensitive_post_parameters()
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def edit(request: SignedInRequest, pk: UUID) -> HttpResponse:
    """Change an endpoint; its project and its kind stay."""
    endpoint = _changeable(request, pk)
    return _form_view(request, KINDS[endpoint.kind], endpoint)


@login_required
@require_safe
def address(request: SignedInRequest) -> HttpResponse:
    """The field of the repository's address, in one spelling or with what is wrong with it."""
    url, server_type = (request.GET.get(each, "") for each in ("repository_url", "server_type"))
    asked = {"repository_url": url, "server_type": server_type}
    form = DockerRegistryForm(asked, user=request.user)
    if "repository_url" not in form.errors:
        url = form.cleaned_data["repository_url"]
        form = DockerRegistryForm(user=request.user, entered={"repository_url": url})
    return page(request, "endpoints/address.html", {"form": form})


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
    return answer_deletion(
        request,
        partial(services.delete_endpoint, endpoint=endpoint),
        done=_("Endpoint %(name)s deleted.") % {"name": endpoint.name},
        after=reverse("endpoints:list"),
        else_to=reverse("endpoints:edit", args=[pk]),
    )


def _wanted_kind(request: SignedInRequest) -> Kind:
    """The kind that is asked for, a Docker Registry where none is named."""
    named = request.POST.get("switch") or request.POST.get("type") or request.GET.get("type")
    kind = KINDS.get(named or EndpointKind.DOCKER_REGISTRY)
    if kind is None:
        raise Http404
    return kind


def _after(request: SignedInRequest, endpoint: Endpoint) -> str:
    """The page that asked for a new endpoint, told which one it is; else the list."""
    target = request.GET.get("next", "")
    if not url_has_allowed_host_and_scheme(target, {request.get_host()}):
        return reverse("endpoints:list")
    return f"{target}{'&' if '?' in target else '?'}endpoint={endpoint.pk}"


def _changeable(request: SignedInRequest, pk: UUID) -> Endpoint:
    found = Endpoint.objects.visible_to(request.user).select_related("project")
    endpoint = get_object_or_404(found, pk=pk)
    action = Action.ADMINISTER if endpoint.is_restricted else Action.WRITE
    require(request.user, action, endpoint.project)
    return endpoint


def _form_view(request: SignedInRequest, kind: Kind, endpoint: Endpoint | None) -> HttpResponse:
    """Show the form, fill it further, check what was entered or save it: as the button says."""
    if request.method != "POST" or request.POST.keys() & FILLING:
        return _filling_page(request, kind, endpoint)
    form = kind.form(request.POST, user=request.user, endpoint=endpoint)
    if not form.is_valid():
        return _form_page(request, form, kind)
    entered = endpoint or Endpoint(project=form.cleaned_data["project"], kind=kind.kind)
    if "validate" in request.POST:
        result = services.check_endpoint(endpoint=_draft_of(entered, form))
        return _form_page(request, form, kind, result=result)
    if not _saved(form, entered):
        return _form_page(request, form, kind)
    _say_saved(request, entered, before=str(form.initial.get("name") or entered.name))
    return redirect(_after(request, entered))


def _filling_page(request: SignedInRequest, kind: Kind, endpoint: Endpoint | None) -> HttpResponse:
    """The form as far as it is filled, which is not judged yet."""
    entered = request.POST.dict() if endpoint else (request.POST or request.GET).dict()
    if accepted := entered.get("accept"):
        entered["authority"] = accepted
    form = kind.form(user=request.user, endpoint=endpoint, entered=entered)
    if "look" not in request.POST or not isinstance(form, KubernetesForm):
        return _form_page(request, form, kind)
    return _form_page(request, form, kind, certificate=_certificate(form))


def _certificate(form: KubernetesForm) -> CertificateFacts | None:
    """What the server shows now; None leaves the reason on the form."""
    try:
        return services.look_at_certificate(
            url=str(form["cluster_url"].value() or ""),
            server_name=str(form["server_name"].value() or ""),
            proxy=form.proxy(),
        )
    except CodeStreamError as error:
        form.object_to("cluster_url", error.user_message)
        return None


def _draft_of(endpoint: Endpoint, form: EndpointForm) -> Endpoint:
    """The endpoint as it would be, apart from the stored one."""
    draft = Endpoint(project=endpoint.project, kind=endpoint.kind)
    draft.name, draft.is_restricted = form.cleaned_data["name"], form.cleaned_data["is_restricted"]
    draft.properties, draft.credentials = form.properties(), form.credentials()
    return draft


def _saved(form: EndpointForm, endpoint: Endpoint) -> bool:
    """Save what was entered; a refusal is left on the form."""
    save = partial(
        services.save_endpoint,
        endpoint=endpoint,
        name=form.cleaned_data["name"],
        description=form.cleaned_data["description"],
        is_restricted=form.cleaned_data["is_restricted"],
        properties=form.properties(),
        credentials=form.credentials(),
        by=form.user,
    )
    return form.saved_by(save)


def _say_saved(request: SignedInRequest, endpoint: Endpoint, *, before: str) -> None:
    """Say so, and who still knows it by the name that it had ``before``."""
    said = {"name": endpoint.name, "before": before}
    if before != endpoint.name:
        said["users"] = ", ".join(pipelines_naming(endpoint.project_id, before))
    if said.get("users"):
        still = _("Endpoint %(name)s saved. Still looking for %(before)s: %(users)s.")
        messages.warning(request, still % said)
    else:
        messages.success(request, _("Endpoint %(name)s saved.") % said)


def _works(endpoint: Endpoint) -> bool:
    return endpoint.last_check_status == CheckStatus.PASSED


def _say_result(request: SignedInRequest, endpoint: Endpoint) -> None:
    say = messages.success if _works(endpoint) else messages.error
    say(request, f"{endpoint.name}: {said(endpoint.last_check_message)}")


def _form_page(
    request: SignedInRequest, form: EndpointForm, kind: Kind, **said: object
) -> HttpResponse:
    """The form, with what is ``said`` beside it: a ``result`` or a ``certificate``."""
    context = {
        "nav": "endpoints",
        "form": form,
        "endpoint": form.endpoint,
        "users": users_of(form.endpoint) if form.endpoint else [],
        "kind": kind,
        "kinds": KINDS.values(),
        "now": now(),
        **said,
    }
    status = 422 if form.errors else 200
    return page(request, "endpoints/form.html", context, partial="kind", status=status)
