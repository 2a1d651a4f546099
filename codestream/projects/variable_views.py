"""Pages of variables. A secret value is never sent back to a page."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from django_htmx.http import trigger_client_event

from codestream.accounts.requests import SignedInRequest
from codestream.core.errors import Refused
from codestream.core.pages import form_status, page, submitted, wants_fragment
from codestream.core.redact import MASK
from codestream.projects.access import projects_allowing
from codestream.projects.forms import SecretVariableForm, VariableForm
from codestream.projects.models import Variable
from codestream.projects.permissions import Action, require
from codestream.projects.services import create_variable, delete_variable, save_variable
from codestream.projects.variable_usage import mentioning, needing

ICONS = {Variable.Type.SECRET: "key", Variable.Type.RESTRICTED: "shield"}


@dataclass(frozen=True, slots=True, kw_only=True)
class VariableRow:
    """A variable as the list shows it."""

    variable: Variable
    may_change: bool

    @property
    def shown(self) -> str:
        """The value, or stars in its place."""
        return MASK if self.variable.is_secret else self.variable.value

    @property
    def icon(self) -> str:
        """The icon of a value that is not shown, else none."""
        return ICONS.get(Variable.Type(self.variable.type), "")


@login_required
@require_safe
def variables(request: SignedInRequest) -> HttpResponse:
    """The variables of every project that the person sees."""
    writable = set(projects_allowing(request.user, Action.WRITE).values_list("pk", flat=True))
    ruled = set(projects_allowing(request.user, Action.ADMINISTER).values_list("pk", flat=True))
    found = Variable.objects.visible_to(request.user).select_related("project")
    context = {
        "nav": "variables",
        "rows": [
            VariableRow(
                variable=each,
                may_change=each.project_id in (ruled if each.is_restricted else writable),
            )
            for each in found.order_by("project__name", "name")
        ],
        "may_create": bool(writable),
    }
    return page(request, "projects/variables.html", context)


@sensitive_post_parameters("value")
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def new(request: SignedInRequest) -> HttpResponse:
    """Make a variable in a project where the person may write."""
    if not projects_allowing(request.user, Action.WRITE).exists():
        raise PermissionDenied
    form = VariableForm(submitted(request), user=request.user)
    if form.is_valid():
        variable = form.apply(Variable(project=form.cleaned_data["project"]))
        if _saved(request, form, variable):
            return redirect("projects:variables")
    return _form_page(request, form)


@sensitive_post_parameters("value")
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def dialog(request: SignedInRequest) -> HttpResponse:
    """Put the secret of another form into a variable; that form gets ``${var.name}`` instead."""
    if not projects_allowing(request.user, Action.WRITE).exists():
        raise PermissionDenied
    form = SecretVariableForm(submitted(request), user=request.user, asked=request.GET)
    variable = _created(form) if form.is_valid() else None
    if variable is None:
        context = {"nav": "variables", "form": form}
        template = "projects/create_variable.html"
        return page(request, template, context, partial="dialog", status=form_status(form))
    if wants_fragment(request):
        return _tell_page(form, variable)
    said = {"name": variable.name, "reference": variable.reference}
    messages.success(request, _("Variable %(name)s saved; refer to it as %(reference)s.") % said)
    return redirect("projects:variables")


@sensitive_post_parameters("value")
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def edit(request: SignedInRequest, pk: UUID) -> HttpResponse:
    """Change a variable; its project stays."""
    variable = _changeable(request, pk)
    form = VariableForm(submitted(request), user=request.user, variable=variable)
    if form.is_valid() and _saved(request, form, form.apply(variable)):
        return redirect("projects:variables")
    return _form_page(request, form)


@login_required
@require_POST
def delete(request: SignedInRequest, pk: UUID) -> HttpResponse:
    """Delete a variable that nothing needs any more; say which pipelines will miss it."""
    variable = _changeable(request, pk)
    try:
        delete_variable(variable=variable)
    except Refused as refusal:
        messages.error(request, refusal.user_message)
        return redirect("projects:edit-variable", pk)
    _say_deleted(request, variable)
    return redirect("projects:variables")


def _changeable(request: SignedInRequest, pk: UUID) -> Variable:
    found = Variable.objects.visible_to(request.user).select_related("project")
    variable = get_object_or_404(found, pk=pk)
    action = Action.ADMINISTER if variable.is_restricted else Action.WRITE
    require(request.user, action, variable.project)
    return variable


def _saved(request: SignedInRequest, form: VariableForm, variable: Variable) -> bool:
    save = partial(save_variable, variable=variable, by=request.user)
    if is_saved := form.saved_by(save):
        messages.success(request, _("Variable %(name)s saved.") % {"name": variable.name})
    return is_saved


def _say_deleted(request: SignedInRequest, variable: Variable) -> None:
    said = {"name": variable.name, "users": ", ".join(mentioning(variable))}
    if said["users"]:
        still = _("Variable %(name)s deleted. Still mentioned by %(users)s.")
        messages.warning(request, still % said)
    else:
        messages.success(request, _("Variable %(name)s deleted.") % said)


def _created(form: SecretVariableForm) -> Variable | None:
    given = form.cleaned_data
    try:
        return create_variable(
            project=given["project"],
            name=given["name"],
            kind=given["type"],
            value=given["value"],
            by=form.user,
        )
    except Refused as refusal:
        form.add_error("name", refusal.user_message)
        return None


def _tell_page(form: SecretVariableForm, variable: Variable) -> HttpResponse:
    """No content, but an event for the page: which field now refers to the variable."""
    given = form.cleaned_data
    # Not "target", which HTMX takes for where the event goes.
    detail = {
        "field": given["target"] or given["source"],
        "reference": variable.reference,
        "message": _("Variable %(name)s saved.") % {"name": variable.name},
    }
    return trigger_client_event(HttpResponse(status=204), "variable-created", detail)


def _form_page(request: SignedInRequest, form: VariableForm) -> HttpResponse:
    variable = form.variable
    context = {
        "nav": "variables",
        "form": form,
        "variable": variable,
        "needing": needing(variable) if variable else [],
        "mentioning": mentioning(variable) if variable else [],
    }
    return page(request, "projects/variable.html", context, status=form_status(form))
