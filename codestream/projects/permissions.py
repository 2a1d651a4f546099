"""Who may do what in a project: the matrix of service role and project role
(contracts/code-stream, 1.3). Views ask; nothing else decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied
from django.utils.translation import gettext as _

from codestream.accounts.models import ServiceRole, User
from codestream.projects.models import Membership, Project

Role = Membership.Role


class Action(StrEnum):
    """What somebody wants to do in a project."""

    READ = "read"
    EXECUTE = "execute"
    WRITE = "write"
    ADMINISTER = "administer"
    """Change members, and what is marked restricted."""


READ, EXECUTE, WRITE, ADMINISTER = Action
BY_SERVICE_ROLE: Mapping[str, frozenset[Action]] = {
    ServiceRole.ADMINISTRATOR: frozenset(Action),
    ServiceRole.DEVELOPER: frozenset({READ, EXECUTE, WRITE}),
    ServiceRole.EXECUTOR: frozenset({READ, EXECUTE}),
    ServiceRole.VIEWER: frozenset({READ}),
    ServiceRole.USER: frozenset(),
}
BY_PROJECT_ROLE: Mapping[str, frozenset[Action]] = {
    Role.ADMINISTRATOR: frozenset(Action),
    Role.MEMBER: frozenset({READ, EXECUTE, WRITE}),
    Role.VIEWER: frozenset({READ}),
}


def can(user: User | AnonymousUser, action: Action, project: Project) -> bool:
    """Whether the person may: the service role and the project role add up.

    In a deleted project there is nothing left but to read.
    """
    if not isinstance(user, User) or not user.is_active:
        return False
    if project.is_deleted and action != Action.READ:
        return False
    if user.is_superuser or action in BY_SERVICE_ROLE[user.service_role]:
        return True
    role = Membership.objects.filter(project=project, user=user).values_list("role", flat=True)
    return action in BY_PROJECT_ROLE.get(role.first() or "", frozenset())


def require(user: User | AnonymousUser, action: Action, project: Project) -> None:
    """Raise PermissionDenied, with words for the page, unless the person may."""
    if not can(user, action, project):
        raise PermissionDenied(
            _("Your role in project %(project)s does not allow this.") % {"project": project.name}
        )
