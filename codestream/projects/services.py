"""What is done with projects, their people and their variables."""

from __future__ import annotations

from django.db import IntegrityError, transaction
from django.db.models import ProtectedError
from django.utils.translation import gettext as _

from codestream.accounts.models import User
from codestream.core.errors import Refused
from codestream.core.versions import require_unchanged
from codestream.projects import belongings
from codestream.projects.models import Membership, Project, Variable
from codestream.projects.variable_usage import needing

NAMED = 5


def create_project(*, name: str, description: str, creator: User) -> Project:
    """Make a project with its creator as administrator. Raises Refused when the name is taken."""
    try:
        with transaction.atomic():
            project = Project.objects.create(name=name, description=description)
            project.memberships.create(user=creator, role=Membership.Role.ADMINISTRATOR)
    except IntegrityError as error:
        raise Refused(_("Another project has this name.")) from error
    return project


@transaction.atomic
def update_project(*, project: Project, name: str, description: str) -> None:
    """Give a project another name or description. Raises Refused when the name is taken, and
    ChangedMeanwhileError or DeletedMeanwhileError.
    """
    require_unchanged(project)
    project.name, project.description = name, description
    try:
        with transaction.atomic():
            project.save(update_fields=["name", "description", "updated_at"])
    except IntegrityError as error:
        raise Refused(_("Another project has this name.")) from error


@transaction.atomic
def delete_project(*, project: Project) -> None:
    """Delete a project with everything in it but its history, which keeps the project's row.

    Raises Refused, naming what still needs it.
    """
    # New rows may name the project: who starts an execution has locked its pipeline already.
    locked = Project.objects.live().select_for_update(no_key=True).filter(pk=project.pk).first()
    if locked is None:
        return
    _refuse_needed(locked)
    try:
        belongings.delete_all(locked)
    except ProtectedError as error:
        raise _needed_by(sorted(str(user) for user in error.protected_objects)) from error
    # What began after the first look held rows that are deleted by now, so it is seen here.
    _refuse_needed(locked)
    locked.variables.all().delete()
    locked.memberships.all().delete()
    locked.state = Project.State.DELETED
    locked.save(update_fields=["state", "updated_at"])


def _refuse_needed(project: Project) -> None:
    if users := belongings.needing(project):
        raise _needed_by(users)


def _needed_by(users: list[str]) -> Refused:
    """At most a few are named: a project may have very many."""
    named = ", ".join(users[:NAMED])
    if len(users) > NAMED:
        named = _("%(users)s and %(number)s more") % {"users": named, "number": len(users) - NAMED}
    return Refused(
        _("The project is in use by %(users)s. End or delete that first.") % {"users": named}
    )


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


def create_variable(*, project: Project, name: str, kind: str, value: str, by: User) -> Variable:
    """Make a variable. Raises Refused when the project has one of that name."""
    variable = Variable(project=project, name=name, type=kind, value=value)
    return save_variable(variable=variable, by=by)


@transaction.atomic
def save_variable(*, variable: Variable, by: User) -> Variable:
    """Keep a variable. Raises Refused when the project has another one of that name, and for
    another name of one that is needed under its own; ChangedMeanwhileError,
    DeletedMeanwhileError.
    """
    require_unchanged(variable)
    before = Variable.objects.filter(pk=variable.pk).first()
    if before is not None and before.name != variable.name:
        _require_unneeded(before)
    variable.edited_by = by
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
