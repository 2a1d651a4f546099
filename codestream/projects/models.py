"""Projects, who belongs to them with which role, and their variables."""

from __future__ import annotations

from typing import Self, TypeVar

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils.translation import gettext_lazy as _

from codestream.accounts.models import User
from codestream.core.fields import EncryptedTextField
from codestream.core.models import Entity


class ProjectQuerySet(models.QuerySet["Project"]):
    """Questions about projects."""

    def live(self) -> Self:
        """Those that are not deleted: of a deleted one the row is left, for its history."""
        return self.exclude(state=Project.State.DELETED)

    def visible_to(self, user: User | AnonymousUser) -> Self:
        """Every project for a service role that reads all, else those one belongs to."""
        if not isinstance(user, User):
            return self.none()
        live = self.live()
        return live if user.reads_all_projects else live.filter(memberships__user=user)


class Project(Entity):
    """What endpoints, variables, pipelines and webhooks belong to."""

    class State(models.TextChoices):
        ACTIVE = "ACTIVE", _("Active")
        DELETED = "DELETED", _("Deleted")

    name = models.CharField(_("name"), max_length=100)
    description = models.TextField(_("description"), blank=True)
    state = models.CharField(max_length=16, choices=State.choices, default=State.ACTIVE)

    objects = ProjectQuerySet.as_manager()

    class Meta:
        verbose_name = _("project")
        verbose_name_plural = _("projects")
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(
                Lower("name"),
                name="project_name_unique",
                condition=~Q(state="DELETED"),
                violation_error_message=_("Another project has this name."),
            )
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_deleted(self) -> bool:
        return self.state == self.State.DELETED


Row = TypeVar("Row", bound=models.Model)


class ProjectOwnedQuerySet(models.QuerySet[Row]):
    """Questions about rows that belong to a project."""

    def visible_to(self, user: User | AnonymousUser) -> Self:
        """Those of the projects that one can see; of deleted ones for who sees all."""
        if isinstance(user, User) and user.reads_all_projects:
            return self
        return self.filter(project__in=Project.objects.visible_to(user))


class Membership(Entity):
    """A person's role in a project."""

    class Role(models.TextChoices):
        ADMINISTRATOR = "ADMINISTRATOR", _("Administrator")
        MEMBER = "MEMBER", _("Member")
        VIEWER = "VIEWER", _("Viewer")

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships"
    )
    role = models.CharField(_("role"), max_length=16, choices=Role.choices, default=Role.MEMBER)

    class Meta:
        verbose_name = _("member")
        verbose_name_plural = _("members")
        ordering = ["project", "user"]
        constraints = [
            models.UniqueConstraint(
                fields=["project", "user"],
                name="membership_unique",
                violation_error_message=_("This person belongs to the project already."),
            )
        ]

    def __str__(self) -> str:
        return f"{self.user} in {self.project}: {self.get_role_display()}"


class VariableQuerySet(ProjectOwnedQuerySet["Variable"]):
    """Questions about variables."""

    def restricted(self) -> Self:
        """Those that only administrators manage and, by themselves, use."""
        return self.filter(type=Variable.Type.RESTRICTED)


class Variable(Entity):
    """A named value of a project; ``${var.name}`` in expressions."""

    class Type(models.TextChoices):
        REGULAR = "REGULAR", _("Regular")
        SECRET = "SECRET", _("Secret")
        RESTRICTED = "RESTRICTED", _("Restricted")

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="variables")
    name = models.CharField(
        _("name"),
        max_length=100,
        validators=[
            RegexValidator(
                r"\A[A-Za-z0-9_-]+\Z", _("Use letters, digits, dashes and underscores only.")
            )
        ],
    )
    description = models.TextField(_("description"), blank=True)
    type = models.CharField(_("type"), max_length=16, choices=Type.choices, default=Type.REGULAR)
    value = EncryptedTextField(_("value"), blank=True)
    edited_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.SET_NULL,
        related_name="+",
        editable=False,
    )

    objects = VariableQuerySet.as_manager()

    class Meta:
        verbose_name = _("variable")
        verbose_name_plural = _("variables")
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(
                fields=["project", "name"],
                name="variable_name_unique",
                violation_error_message=_("The project has a variable with this name."),
            )
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def reference(self) -> str:
        """How an expression names it."""
        return f"${{var.{self.name}}}"

    @property
    def is_secret(self) -> bool:
        return self.type != self.Type.REGULAR

    @property
    def is_restricted(self) -> bool:
        return self.type == self.Type.RESTRICTED
