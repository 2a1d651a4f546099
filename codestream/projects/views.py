"""Pages of projects and their people."""

from __future__ import annotations

from functools import partial
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Q
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from codestream.accounts.requests import SignedInRequest
from codestream.core.errors import Refused
from codestream.core.pages import answer_deletion, form_status, page, submitted
from codestream.projects import services
from codestream.projects.belongings import needing
from codestream.projects.forms import MemberForm, ProjectForm, RoleForm
from codestream.projects.models import Membership, Project
from codestream.projects.permissions import Action, can, require

Role = Membership.Role


@login_required
@require_safe
def project_list(request: SignedInRequest) -> HttpResponse:
    """The projects that the person sees, with how many people have which role."""
    context = {
        "nav": "projects",
        "projects": Project.objects.filter(
            pk__in=Project.objects.visible_to(request.user).values("pk")
        ).annotate(
            administrators=_count(Role.ADMINISTRATOR),
            members=_count(Role.MEMBER),
            viewers=_count(Role.VIEWER),
        ),
        "may_create": request.user.is_service_administrator,
    }
    return page(request, "projects/list.html", context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def new(request: SignedInRequest) -> HttpResponse:
    """Make a project; only an administrator of the service may."""
    if not request.user.is_service_administrator:
        raise PermissionDenied
    form = ProjectForm(submitted(request))
    if form.is_valid():
        try:
            project = services.create_project(**form.cleaned_data, creator=request.user)
            return redirect("projects:detail", project.pk)
        except Refused as refusal:
            form.add_error("name", refusal.user_message)
    context = {"nav": "projects", "form": form}
    return page(request, "projects/new.html", context, status=form_status(form))


@login_required
@require_safe
def detail(request: SignedInRequest, pk: UUID) -> HttpResponse:
    """One project and its people."""
    return _detail_page(request, _visible(request, pk), MemberForm())


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def edit(request: SignedInRequest, pk: UUID) -> HttpResponse:
    """Give a project another name or description."""
    project = _administered(request, pk)
    stored_name = project.name
    form = ProjectForm(submitted(request), project=project)
    if form.is_valid() and _saved(request, form, project):
        return redirect("projects:detail", pk)
    context = {
        "nav": "projects",
        "form": form,
        "project": project,
        "title": stored_name,
        "needing": needing(project),
    }
    return page(request, "projects/edit.html", context, status=form_status(form))


@login_required
@require_POST
def delete(request: SignedInRequest, pk: UUID) -> HttpResponse:
    """Delete a project that nothing needs any more."""
    project = _administered(request, pk)
    return answer_deletion(
        request,
        partial(services.delete_project, project=project),
        done=_("Project %(name)s deleted.") % {"name": project.name},
        after=reverse("projects:list"),
        else_to=reverse("projects:edit", args=[pk]),
    )


@login_required
@require_POST
def add_member(request: SignedInRequest, pk: UUID) -> HttpResponse:
    """Add a person to the project."""
    project = _administered(request, pk)
    form = MemberForm(request.POST)
    if form.is_valid():
        user, role = form.cleaned_data["username"], Role(form.cleaned_data["role"])
        try:
            services.add_member(project=project, user=user, role=role)
            return redirect("projects:detail", project.pk)
        except Refused as refusal:
            form.add_error("username", refusal.user_message)
    return _detail_page(request, project, form)


@login_required
@require_POST
def change_role(request: SignedInRequest, pk: UUID, member_pk: UUID) -> HttpResponse:
    """Give a person of the project another role."""
    membership = get_object_or_404(_administered(request, pk).memberships, pk=member_pk)
    form = RoleForm(request.POST)
    if not form.is_valid():
        return _detail_page(request, membership.project, MemberForm(), status=422)
    try:
        services.change_role(membership=membership, role=Role(form.cleaned_data["role"]))
    except Refused as refusal:
        messages.error(request, refusal.user_message)
    return redirect("projects:detail", pk)


@login_required
@require_POST
def remove_member(request: SignedInRequest, pk: UUID, member_pk: UUID) -> HttpResponse:
    """Take a person out of the project."""
    membership = get_object_or_404(_administered(request, pk).memberships, pk=member_pk)
    try:
        services.remove_member(membership=membership)
    except Refused as refusal:
        messages.error(request, refusal.user_message)
    return redirect("projects:detail", pk)


def _count(role: Role) -> Count:
    return Count("memberships", filter=Q(memberships__role=role))


def _visible(request: SignedInRequest, pk: UUID) -> Project:
    return get_object_or_404(Project.objects.visible_to(request.user), pk=pk)


def _administered(request: SignedInRequest, pk: UUID) -> Project:
    project = _visible(request, pk)
    require(request.user, Action.ADMINISTER, project)
    return project


def _saved(request: SignedInRequest, form: ProjectForm, project: Project) -> bool:
    save = partial(services.update_project, project=project, **form.cleaned_data)
    if is_saved := form.saved_by(save):
        messages.success(request, _("Project %(name)s saved.") % {"name": project.name})
    return is_saved


def _detail_page(
    request: SignedInRequest, project: Project, form: MemberForm, *, status: int = 0
) -> HttpResponse:
    context = {
        "nav": "projects",
        "project": project,
        "memberships": project.memberships.select_related("user").order_by("user__username"),
        "roles": Role.choices,
        "form": form,
        "may_administer": can(request.user, Action.ADMINISTER, project),
    }
    return page(request, "projects/detail.html", context, status=status or form_status(form))
