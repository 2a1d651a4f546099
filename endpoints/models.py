"""The outside systems of a project: where they are, and what opens them (encrypted)."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from codestream.core.fields import EncryptedJSONField, WordsField
from codestream.core.models import Entity
from codestream.projects.models import Project, ProjectOwnedQuerySet


class EndpointKind(models.TextChoices):
    """The kinds of outside system, by the type names of the original's files."""

    DOCKER_REGISTRY = "dockerRegistry", _("Docker Registry")
    KUBERNETES = "k8s", _("Kubernetes")


class CheckStatus(models.TextChoices):
    """What the last validation of an endpoint came to; empty when there was none."""

    PASSED = "PASSED", _("Passed")
    FAILED = "FAILED", _("Failed")


class EndpointQuerySet(ProjectOwnedQuerySet["Endpoint"]):
    """Questions about endpoints."""

    def registries(self) -> EndpointQuerySet:
        return self.filter(kind=EndpointKind.DOCKER_REGISTRY)

    def clusters(self) -> EndpointQuerySet:
        return self.filter(kind=EndpointKind.KUBERNETES)


class Endpoint(Entity):
    """One outside system. Which properties and credentials a kind has is in ``endpoints.kinds``."""

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="endpoints")
    name = models.CharField(_("name"), max_length=100)
    description = models.TextField(_("description"), blank=True)
    kind = models.CharField(_("type"), max_length=32, choices=EndpointKind.choices)
    properties = models.JSONField(default=dict, blank=True)
    credentials = EncryptedJSONField(default=dict, blank=True)
    fingerprint = models.CharField(max_length=64, blank=True)
    is_restricted = models.BooleanField(_("restricted"), default=False)
    edited_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.SET_NULL,
        related_name="+",
        editable=False,
    )
    last_check_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_check_status = models.CharField(
        max_length=16, choices=CheckStatus.choices, blank=True, editable=False
    )
    last_check_message = WordsField(blank=True, editable=False)

    objects = EndpointQuerySet.as_manager()

    class Meta:
        verbose_name = _("endpoint")
        verbose_name_plural = _("endpoints")
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(
                fields=["project", "name"],
                name="endpoint_name_unique",
                violation_error_message=_("The project has an endpoint with this name."),
            )
        ]

    def __str__(self) -> str:
        return self.name
