"""The matrix of ``permissions`` as a query, so that a list asks once and not per row."""

from __future__ import annotations

from uuid import UUID

from django.db.models import QuerySet

from codestream.accounts.models import User
from codestream.projects.models import Project
from codestream.projects.permissions import BY_PROJECT_ROLE, BY_SERVICE_ROLE, Action


def projects_allowing(user: User, action: Action) -> QuerySet[Project]:
    """The projects in which the person may do this; for an active account."""
    if user.is_superuser or action in BY_SERVICE_ROLE[user.service_role]:
        return Project.objects.live()
    roles = [role for role, actions in BY_PROJECT_ROLE.items() if action in actions]
    return Project.objects.live().filter(memberships__user=user, memberships__role__in=roles)


def projects_seen(user: User) -> list[UUID] | None:
    """The keys of the projects in which the person may read; None for every project."""
    if user.reads_all_projects:
        return None
    return list(Project.objects.visible_to(user).order_by().values_list("pk", flat=True))
