"""Administration of executions: everything is looked at, nothing is written by hand."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html_join
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from codestream.core.admin import GrowingAdmin, ReadOnlyAdmin
from codestream.core.clock import now
from codestream.core.times import in_words
from executions.models import Execution, ExecutionEvent, ImagePush, StageRun, TaskRun, Worker
from executions.workers import held_by, with_life


@admin.register(Execution)
class ExecutionAdmin(GrowingAdmin):
    """Every run of every pipeline."""

    list_display = ("__str__", "project", "status", "source", "triggered_by", "created_at")
    list_filter = ("status", "source", "project")
    list_select_related = ("project",)
    search_fields = ("pipeline_name", "message", "comments")


class _PartAdmin(GrowingAdmin):
    """What belongs to an execution."""

    owner = "execution"

    def newest(self) -> QuerySet[Any]:
        """Return the newest executions."""
        return Execution.objects.order_by("-created_at").values("pk")


@admin.register(StageRun)
class StageRunAdmin(_PartAdmin):
    """The stages of every run."""

    list_display = ("name", "execution", "position", "status", "started_at", "finished_at")
    list_filter = ("status",)
    list_select_related = ("execution",)
    search_fields = ("name", "execution__pipeline_name")


@admin.register(TaskRun)
class TaskRunAdmin(_PartAdmin):
    """The tasks of every run, with the lease of the worker that does the next step."""

    owner = "stage_run__execution"
    list_display = ("name", "kind", "stage_run", "status", "attempt", "wake_at", "lease_until")
    list_filter = ("status", "kind")
    list_select_related = ("stage_run",)
    search_fields = ("name", "message")
    readonly_fields = ("wake_at", "lease_until", "lease_owner", "epoch", "attempts")


@admin.register(ImagePush)
class ImagePushAdmin(_PartAdmin):
    """Which task pushed which image."""

    ordering = ("-created_at",)
    list_display = ("created_at", "repository", "tag", "registry", "execution", "task_run")
    list_select_related = ("execution", "task_run")
    search_fields = ("repository", "tag", "digest")


@admin.register(ExecutionEvent)
class ExecutionEventAdmin(GrowingAdmin):
    """What happened, newest first."""

    ordering = ("-id",)
    list_display = ("at", "execution", "kind", "subject", "from_status", "to_status", "actor")
    list_filter = ("kind", "to_status")
    list_select_related = ("execution",)
    search_fields = ("subject", "message")

    def newest(self) -> QuerySet[Any]:
        """Return the last events; their keys count up."""
        return ExecutionEvent.objects.order_by("-id").values("pk")


@admin.register(Worker)
class WorkerAdmin(ReadOnlyAdmin):
    """The worker processes: when each was last heard of, and what it holds."""

    list_display = (
        "__str__",
        "state",
        "heartbeat_age",
        "holds_number",
        "threads",
        "release",
        "clock",
    )
    list_per_page = 25
    fields = (
        "host",
        "pid",
        "state",
        "heartbeat_age",
        "heartbeat_at",
        "created_at",
        "release",
        "threads",
        "clock",
        "holds",
    )
    readonly_fields = ("state", "heartbeat_age", "created_at", "clock", "holds")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """All of them, with what the database's clock says of them."""
        return with_life(super().get_queryset(request))

    @admin.display(description=_("state"))
    def state(self, worker: Any) -> str:
        """Whether its heart beats; what a lost one held is taken over by the others."""
        return gettext("Alive") if worker.lives else gettext("Lost")

    @admin.display(description=_("last heartbeat"))
    def heartbeat_age(self, worker: Any) -> str:
        """How long ago that was."""
        return gettext("%(time)s ago") % {"time": in_words(worker.moment - worker.heartbeat_at)}

    @admin.display(description=_("clock"))
    def clock(self, worker: Worker) -> str:
        """How far its machine's clock is from the database's."""
        return f"{worker.clock_ahead:+.1f} s"

    @admin.display(description=_("holds"))
    def holds_number(self, worker: Worker) -> int:
        """How many rows it works on."""
        return len(held_by(worker))

    @admin.display(description=_("holds"))
    def holds(self, worker: Worker) -> str:
        """Every row it works on, with a way to it and since when."""
        rows = [
            (held.kind, held.address, held.name, in_words(now() - held.since))
            for held in held_by(worker)
        ]
        return format_html_join("", '{} <a href="{}">{}</a>, {}<br>', rows) or gettext("Nothing")
