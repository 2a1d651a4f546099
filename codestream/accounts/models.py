"""People and their API tokens. What a person may do in a project is for ``codestream.projects``."""

from __future__ import annotations

import uuid
from typing import Any, Self

from django.contrib.auth.models import AbstractUser
from django.db import models
from django.db.models.functions import Lower
from django.utils.translation import gettext_lazy as _

from codestream.core.clock import now
from codestream.core.models import Entity


class ServiceRole(models.TextChoices):
    """What a person may do in the whole service (contracts/code-stream, 1.3)."""

    ADMINISTRATOR = "ADMINISTRATOR", _("Administrator")
    DEVELOPER = "DEVELOPER", _("Developer")
    EXECUTOR = "EXECUTOR", _("Executor")
    VIEWER = "VIEWER", _("Viewer")
    USER = "USER", _("User")


class Language(models.TextChoices):
    """The language of the pages; each is named in itself, for who cannot read the others."""

    BROWSER = "", _("As in the browser")
    ENGLISH = "en", "English"
    ITALIAN = "it", "Italiano"


class User(AbstractUser):
    """A person who signs in."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    email = models.EmailField(_("e-mail address"))
    service_role = models.CharField(
        _("service role"), max_length=16, choices=ServiceRole.choices, default=ServiceRole.USER
    )
    language = models.CharField(
        _("language"),
        max_length=8,
        choices=Language.choices,
        blank=True,
        default=Language.BROWSER,
    )

    class Meta:
        verbose_name = _("user")
        verbose_name_plural = _("users")
        ordering = ["username"]
        constraints = [
            models.UniqueConstraint(
                Lower("email"),
                name="user_email_unique",
                violation_error_message=_("Another account has this e-mail address."),
            )
        ]

    @property
    def languages(self) -> list[tuple[str, Any]]:
        """The languages to choose from, with their names."""
        return Language.choices

    @property
    def is_service_administrator(self) -> bool:
        return self.is_superuser or self.service_role == ServiceRole.ADMINISTRATOR

    @property
    def reads_all_projects(self) -> bool:
        """Whether the person needs to belong to no project to read what is in it."""
        return self.is_superuser or self.service_role != ServiceRole.USER


class PasswordTry(models.Model):
    """A try to prove who one is, kept for a while so that all processes count together.

    ``key`` is a digest of what was tried from where: no name is kept.
    """

    key = models.CharField(max_length=64)
    at = models.DateTimeField(db_index=True)

    class Meta:
        indexes = [models.Index(fields=["key", "at"], name="password_try_recent")]

    def __str__(self) -> str:
        return f"{self.key[:8]}… at {self.at}"


class ApiTokenQuerySet(models.QuerySet["ApiToken"]):
    """Questions about tokens."""

    def live(self) -> Self:
        """Neither expired nor revoked, of an account that may sign in."""
        return self.filter(revoked_at=None, expires_at__gt=now(), owner__is_active=True)


class ApiToken(Entity):
    """A token of one person: only its hash is kept. ``prefix`` lets its owner tell them apart."""

    owner = models.ForeignKey(User, on_delete=models.CASCADE, related_name="api_tokens")
    name = models.CharField(_("name"), max_length=100)
    prefix = models.CharField(max_length=12, editable=False)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    expires_at = models.DateTimeField(_("expires"))
    revoked_at = models.DateTimeField(_("revoked"), null=True, blank=True)
    last_used_at = models.DateTimeField(_("last used"), null=True, blank=True)

    objects = ApiTokenQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]
        verbose_name = _("API token")
        verbose_name_plural = _("API tokens")

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    @property
    def is_live(self) -> bool:
        return self.revoked_at is None and self.expires_at > now() and self.owner.is_active
