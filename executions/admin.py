"""Administration of executions: everything is looked at, nothing is written by hand."""

from __future__ import annotations

from django.contrib import admin

from codestream.core.admin import ReadOnlyAdmin
from executions.models import Execution, ExecutionEvent, StageRun, TaskRun, Worker


@admin.register(Execution)
class ExecutionAdmin(ReadOnlyAdmin):
    """Every run of every pipeline."""

    list_display = ("__str__", "project", "status", "source", "triggered_by", "created_at")
    list_filter = ("status", "source", "project")
    list_select_related = ("project",)
    search_fields = ("pipeline_name", "message", "comments")


@admin.register(StageRun)
class StageRunAdmin(ReadOnlyAdmin):
    """The stages of every run."""

    list_display = ("name", "execution", "position", "status", "started_at", "finished_at")
    list_filter = ("status",)
    list_select_related = ("execution",)
    search_fields = ("name", "execution__pipeline_name")


@admin.register(TaskRun)
class TaskRunAdmin(ReadOnlyAdmin):
    """The tasks of every run, with the lease of the worker that does the next step."""

    list_display = ("name", "kind", "stage_run", "status", "attempt", "wake_at", "lease_until")
    list_filter = ("status", "kind")
    list_select_related = ("stage_run",)
    search_fields = ("name", "message")
    readonly_fields = ("wake_at", "lease_until", "lease_owner", "epoch", "attempts")


@admin.register(ExecutionEvent)
class ExecutionEventAdmin(ReadOnlyAdmin):
    """What happened, in order."""

    list_display = ("at", "execution", "kind", "subject", "from_status", "to_status", "actor")
    list_filter = ("kind", "to_status")
    list_select_related = ("execution",)
    search_fields = ("subject", "message")


@admin.register(Worker)
class WorkerAdmin(ReadOnlyAdmin):
    """The worker processes and when each was last heard of."""

    list_display = ("host", "pid", "heartbeat_at", "stopping")
