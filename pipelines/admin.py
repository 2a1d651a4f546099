"""Administration of pipelines; a revision never changes."""

from __future__ import annotations

from django.contrib import admin

from codestream.core.admin import MadeElsewhereAdmin, ReadOnlyAdmin
from pipelines.models import Pipeline, PipelineRevision


@admin.register(Pipeline)
class PipelineAdmin(MadeElsewhereAdmin):
    """Pipelines; name and text are changed together in the editor."""

    list_display = ("name", "project", "state", "concurrency", "updated_at")
    list_filter = ("state", "project")
    list_select_related = ("project",)
    search_fields = ("name",)
    readonly_fields = ("project", "name", "description", "concurrency")


@admin.register(PipelineRevision)
class PipelineRevisionAdmin(ReadOnlyAdmin):
    """Every text that a pipeline ever had."""

    list_display = ("pipeline", "number", "author", "created_at")
    list_select_related = ("pipeline", "author")
    search_fields = ("pipeline__name",)
