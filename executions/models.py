"""Executions, their stages and tasks, what happened to them, and the workers that drive them.

The rows are the whole state of a run: nothing is kept in a process.
"""

from __future__ import annotations

from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from codestream.core.models import Entity, Telling, Timestamped, newest_first, where_set
from codestream.core.work import Claimable
from codestream.projects.models import Project, ProjectOwnedQuerySet
from endpoints.clients.image_references import ImageReference
from endpoints.models import Endpoint
from executions.states import TERMINAL, Status
from pipelines.models import Pipeline, PipelineRevision

STATUSES = [(status.value, status.value.replace("_", " ").capitalize()) for status in Status]
ENDED = sorted(status.value for status in TERMINAL)
LIVE = sorted(status.value for status in Status if status not in TERMINAL)
ACTIVE = [status for status in LIVE if status != Status.QUEUED]


class ExecutionQuerySet(ProjectOwnedQuerySet["Execution"]):
    """Questions about executions."""

    def active(self) -> Self:
        """Admitted and not over: what counts against a pipeline's concurrency."""
        return self.filter(status__in=ACTIVE)

    def queued(self) -> Self:
        """Waiting for a place, first come first."""
        return self.filter(status=Status.QUEUED).order_by("index")

    def live(self) -> Self:
        return self.filter(status__in=LIVE)


class Execution(Entity, Telling):
    """One run of a pipeline at one revision."""

    class Source(models.TextChoices):
        PUSH = "PUSH", _("Push")
        USER = "USER", _("User")
        API = "API", _("API")
        ROLLBACK = "ROLLBACK", _("Rollback")
        UNDO = "UNDO", _("Undo")

    # The indexes below begin with the project and the pipeline.
    project = models.ForeignKey(
        Project, on_delete=models.PROTECT, related_name="executions", db_index=False
    )
    pipeline = models.ForeignKey(
        Pipeline, null=True, on_delete=models.SET_NULL, related_name="executions", db_index=False
    )
    pipeline_name = models.CharField(max_length=100)
    revision = models.ForeignKey(
        PipelineRevision, on_delete=models.PROTECT, related_name="executions"
    )
    index = models.PositiveIntegerField()
    status = models.CharField(max_length=24, choices=STATUSES, default=Status.QUEUED)
    comments = models.TextField(blank=True)
    inputs = models.JSONField(default=dict)
    outputs = models.JSONField(default=dict)
    run_as = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    triggered_by = models.CharField(max_length=255, blank=True)
    source = models.CharField(max_length=16, choices=Source.choices, default=Source.USER)
    parent = models.ForeignKey(
        "self",
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="children",
        db_index=False,
    )
    rerun_of = models.ForeignKey(
        "self",
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="reruns",
        db_index=False,
    )
    undoes = models.ForeignKey(
        "TaskRun",
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="undos",
        db_index=False,
    )
    start_key = models.CharField(max_length=100, null=True, unique=True)
    version = models.PositiveBigIntegerField(default=0, editable=False)
    cancel_requested_at = models.DateTimeField(null=True, blank=True)
    cancel_requested_by = models.CharField(max_length=255, blank=True)
    cancel_reason = models.TextField(blank=True)
    pause_requested_at = models.DateTimeField(null=True, blank=True)
    pause_requested_by = models.CharField(max_length=255, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = ExecutionQuerySet.as_manager()

    class Meta:
        verbose_name = _("execution")
        verbose_name_plural = _("executions")
        ordering = ["-created_at"]
        indexes = [
            models.Index(fields=["pipeline", "status", "index"], name="execution_queue"),
            newest_first("execution_newest_of_all"),
            newest_first("execution_by_status", "status"),
            newest_first("execution_newest", "project"),
            newest_first("execution_by_project_status", "project", "status"),
            newest_first("execution_by_pipeline", "pipeline"),
            newest_first("execution_pipeline_status", "pipeline", "status"),
            where_set("execution_with_parent", "parent"),
            where_set("execution_again", "rerun_of"),
            where_set("execution_undoing", "undoes"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["pipeline", "index"], name="execution_index_unique"),
            models.CheckConstraint(
                condition=Q(status__in=ENDED, finished_at__isnull=False)
                | (~Q(status__in=ENDED) & Q(finished_at__isnull=True)),
                name="execution_terminal_iff_finished",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.pipeline_name} #{self.index}"

    @property
    def is_over(self) -> bool:
        return self.status in TERMINAL


class StageRun(Entity):
    """One stage of an execution."""

    # The constraint below begins with it.
    execution = models.ForeignKey(
        Execution, on_delete=models.CASCADE, related_name="stages", db_index=False
    )
    position = models.PositiveSmallIntegerField()
    name = models.CharField(max_length=100)
    status = models.CharField(max_length=24, choices=STATUSES, default=Status.NOT_STARTED)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("stage run")
        verbose_name_plural = _("stage runs")
        ordering = ["execution", "position"]
        constraints = [
            models.UniqueConstraint(
                fields=["execution", "position"], name="stage_run_position_unique"
            )
        ]

    def __str__(self) -> str:
        return self.name


class TaskRun(Entity, Claimable, Telling):
    """One task of a stage. Tasks of the same ``group`` run side by side; groups one by one.

    ``input`` is what the task was given and ``output`` what it gave, both without secrets;
    ``cursor`` is where its runner stands between two looks. ``answer`` is what a person said to
    a task that is WAITING for it. ``held_for`` are the restricted things for whose sake it waits,
    ``released`` those that administrators let it use. ``attempt`` counts tries after errors,
    ``attempts`` (``Claimable``) claims.
    """

    # The constraint below begins with it.
    stage_run = models.ForeignKey(
        StageRun, on_delete=models.CASCADE, related_name="tasks", db_index=False
    )
    position = models.PositiveSmallIntegerField()
    group = models.PositiveSmallIntegerField()
    name = models.CharField(max_length=100)
    kind = models.CharField(max_length=32)
    status = models.CharField(max_length=24, choices=STATUSES, default=Status.NOT_STARTED)
    attempt = models.PositiveSmallIntegerField(default=1)
    deadline_at = models.DateTimeField(null=True, blank=True)
    intent = models.JSONField(default=dict, blank=True)
    cursor = models.JSONField(default=dict, blank=True)
    input = models.JSONField(default=dict, blank=True)
    output = models.JSONField(default=dict, blank=True)
    answer = models.CharField(max_length=32, blank=True)
    answer_comment = models.TextField(blank=True)
    answered_by = models.CharField(max_length=255, blank=True)
    answered_at = models.DateTimeField(null=True, blank=True)
    held_for = models.JSONField(default=list, blank=True)
    released = models.JSONField(default=list, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("task run")
        verbose_name_plural = _("task runs")
        ordering = ["stage_run", "position"]
        indexes = [
            models.Index(
                fields=["wake_at"], name="task_run_due", condition=Q(wake_at__isnull=False)
            )
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["stage_run", "position"], name="task_run_position_unique"
            )
        ]

    def __str__(self) -> str:
        return self.name


class ImagePush(Entity):
    """An image that a task pushed, or has announced; kept for as long as its execution.

    Rows are only ever added; a ``digest`` that was not known is filled in once. How ``registry``
    and ``repository`` are spelled, ``ImageReference`` says.
    """

    execution = models.ForeignKey(Execution, on_delete=models.CASCADE, related_name="image_pushes")
    # The constraint below begins with the task.
    task_run = models.ForeignKey(
        TaskRun, on_delete=models.CASCADE, related_name="image_pushes", db_index=False
    )
    registry = models.CharField(max_length=255)
    repository = models.CharField(max_length=255)
    tag = models.CharField(max_length=128)
    digest = models.CharField(max_length=255, blank=True)

    class Meta:
        ordering = ["created_at", "id"]
        verbose_name = _("image push")
        verbose_name_plural = _("image pushes")
        indexes = [
            models.Index(
                fields=["repository", "tag", "registry", "-created_at"], name="image_push_lookup"
            )
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["task_run", "registry", "repository", "tag", "digest"],
                name="image_push_once_a_task",
            )
        ]

    def __str__(self) -> str:
        return str(self.image)

    @property
    def image(self) -> ImageReference:
        """What was pushed."""
        return ImageReference(
            registry=self.registry, repository=self.repository, tag=self.tag, digest=self.digest
        )


class RolloutWatch(models.Model):
    """What a task waits for in a cluster, as its last look saw it; there while the task waits.

    ``sights`` are five texts each, as ``runners.base.Sight``. ``is_covered`` says that a watch
    wakes the task when one of them changes. ``told_at`` is the database's time of the last change.
    """

    task = models.OneToOneField(
        TaskRun, primary_key=True, on_delete=models.CASCADE, related_name="rollout_watch"
    )
    endpoint = models.ForeignKey(Endpoint, on_delete=models.CASCADE, related_name="+")
    sights = models.JSONField(default=list)
    is_covered = models.BooleanField(default=False)
    told_at = models.DateTimeField(db_index=True)

    class Meta:
        verbose_name = _("watch on a rollout")
        verbose_name_plural = _("watches on rollouts")

    def __str__(self) -> str:
        return str(self.task_id)


class ExecutionEvent(Telling):
    """One thing that happened to an execution; rows are only ever added."""

    execution = models.ForeignKey(Execution, on_delete=models.CASCADE, related_name="events")
    task_run = models.ForeignKey(
        TaskRun,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="events",
        db_index=False,
    )
    kind = models.CharField(max_length=32)
    subject = models.CharField(max_length=255, blank=True)
    from_status = models.CharField(max_length=24, blank=True)
    to_status = models.CharField(max_length=24, blank=True)
    actor = models.CharField(max_length=255, blank=True)
    at = models.DateTimeField()

    class Meta:
        verbose_name = _("execution event")
        verbose_name_plural = _("execution events")
        ordering = ["id"]
        indexes = [where_set("execution_event_of_task", "task_run")]

    def __str__(self) -> str:
        return f"{self.subject}: {self.message or self.to_status}"


class Worker(Timestamped):
    """A worker process; its leases are free as soon as its heart stops."""

    id = models.UUIDField(primary_key=True, editable=False)
    host = models.CharField(max_length=255)
    pid = models.PositiveIntegerField()
    heartbeat_at = models.DateTimeField()
    threads = models.PositiveSmallIntegerField(default=0)
    release = models.CharField(max_length=32, blank=True)
    clock_ahead = models.FloatField(_("clock"), default=0.0, db_default=0.0)
    """How far its machine's clock is ahead of the database's, in seconds."""

    class Meta:
        verbose_name = _("worker")
        verbose_name_plural = _("workers")
        ordering = ["-heartbeat_at"]

    def __str__(self) -> str:
        return f"{self.host}:{self.pid}"
