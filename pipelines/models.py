"""Pipelines and their immutable revisions; ``pipelines.definition`` knows what a source means."""

from __future__ import annotations

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from codestream.accounts.models import User
from codestream.core.models import Entity
from codestream.projects.models import Project, ProjectOwnedQuerySet

MAX_CONCURRENCY = 50


class PipelineQuerySet(ProjectOwnedQuerySet["Pipeline"]):
    """Questions about pipelines."""

    def runnable(self) -> PipelineQuerySet:
        return self.exclude(state=Pipeline.State.DISABLED)


class Pipeline(Entity):
    """A named definition that can run. ``next_index`` numbers its executions from 1."""

    class State(models.TextChoices):
        ENABLED = "ENABLED", _("Enabled")
        DISABLED = "DISABLED", _("Disabled")
        RELEASED = "RELEASED", _("Enabled & Released")

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="pipelines")
    name = models.CharField(_("name"), max_length=100)
    description = models.TextField(_("description"), blank=True)
    state = models.CharField(max_length=16, choices=State.choices, default=State.ENABLED)
    concurrency = models.PositiveSmallIntegerField(
        default=10, validators=[MinValueValidator(1), MaxValueValidator(MAX_CONCURRENCY)]
    )
    next_index = models.PositiveIntegerField(default=1, editable=False)
    current_revision = models.ForeignKey(
        "PipelineRevision", null=True, on_delete=models.PROTECT, related_name="+", editable=False
    )
    injects_docker = models.BooleanField(default=False, editable=False)

    objects = PipelineQuerySet.as_manager()

    class Meta:
        verbose_name = _("pipeline")
        verbose_name_plural = _("pipelines")
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(
                fields=["project", "name"],
                name="pipeline_name_unique",
                violation_error_message=_("The project has a pipeline with this name."),
            ),
            models.CheckConstraint(
                condition=Q(concurrency__gte=1, concurrency__lte=MAX_CONCURRENCY),
                name="pipeline_concurrency_range",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def edited_by(self) -> User | None:
        """Who wrote the current revision."""
        return self.current_revision.author if self.current_revision else None


class PipelineRevision(Entity):
    """One state of a pipeline's source; an execution pins it, so it never changes."""

    pipeline = models.ForeignKey(
        Pipeline, null=True, on_delete=models.SET_NULL, related_name="revisions"
    )
    number = models.PositiveIntegerField()
    source = models.TextField()
    sha256 = models.CharField(max_length=64)
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )

    class Meta:
        verbose_name = _("pipeline revision")
        verbose_name_plural = _("pipeline revisions")
        ordering = ["-number"]
        constraints = [
            models.UniqueConstraint(fields=["pipeline", "number"], name="revision_number_unique")
        ]

    def __str__(self) -> str:
        return f"revision {self.number}"
