"""What is done with projects: made, people added, given roles and removed; variables kept."""

from __future__ import annotations

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from codestream.accounts.models import User
from codestream.core.errors import Refused
from codestream.projects.models import Membership, Project, Variable
from codestream.projects.variable_usage import needing


def create_project(*, name: str, description: str, creator: User) -> Project:
    """Make a project with its creator as administrator. Raises Refused when the name is taken."""
    try:
        with transaction.atomic():
            project = Project.objects.create(name=name, description=description)
            project.memberships.create(user=creator, role=Membership.Role.ADMINISTRATOR)
    except IntegrityError as error:
        raise Refused(_("Another project has this name.")) from error
    return project


def add_member(*, project: Project, user: User, role: Membership.Role) -> Membership:
    """Add a person to the project. Raises Refused when they belong to it already."""
    try:
        with transaction.atomic():
            return project.memberships.create(user=user, role=role)
    except IntegrityError as error:
        raise Refused(_("This person belongs to the project already.")) from error


@transaction.atomic
def change_role(*, membership: Membership, role: Membership.Role) -> None:
    """Give a person another role. Raises Refused when no administrator would be left."""
    _keep_an_administrator(membership, leaving=role != Membership.Role.ADMINISTRATOR)
    membership.role = role
    membership.save(update_fields=["role", "updated_at"])


@transaction.atomic
def remove_member(*, membership: Membership) -> None:
    """Take a person out. Raises Refused when no administrator would be left."""
    _keep_an_administrator(membership, leaving=True)
    membership.delete()


def create_variable(*, project: Project, name: str, kind: str, value: str) -> Variable:
    """Make a variable. Raises Refused when the project has one of that name."""
    return save_variable(variable=Variable(project=project, name=name, type=kind, value=value))


def save_variable(*, variable: Variable) -> Variable:
    """Keep a variable. Raises Refused when the project has another one of that name, and for
    another name of one that is needed under its own.
    """
    before = Variable.objects.filter(pk=variable.pk).first()
    if before is not None and before.name != variable.name:
        _require_unneeded(before)
    try:
        with transaction.atomic():
            variable.save()
    except IntegrityError as error:
        raise Refused(_("The project has a variable with this name.")) from error
    return variable


def delete_variable(*, variable: Variable) -> None:
    """Delete a variable. Raises Refused, naming what does not work without it."""
    _require_unneeded(variable)
    variable.delete()


def _require_unneeded(variable: Variable) -> None:
    if users := needing(variable):
        raise Refused(
            _("The variable is in use by %(users)s. Change or delete that first.")
            % {"users": ", ".join(users)}
        )


def _keep_an_administrator(membership: Membership, *, leaving: bool) -> None:
    """Lock the project, so that two administrators cannot leave at the same moment."""
    Project.objects.select_for_update().get(pk=membership.project_id)
    administrators = Membership.objects.filter(
        project=membership.project_id, role=Membership.Role.ADMINISTRATOR
    )
    if leaving and not administrators.exclude(pk=membership.pk).exists():
        raise Refused(_("A project keeps at least one administrator."))
