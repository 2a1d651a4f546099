"""Administration of pipelines; a revision never changes."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

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

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """One is deleted on its page, which looks at its queue."""
        return False


@admin.register(PipelineRevision)
class PipelineRevisionAdmin(ReadOnlyAdmin):
    """Every text that a pipeline ever had."""

    list_display = ("pipeline", "number", "author", "created_at")
    list_select_related = ("pipeline", "author")
    search_fields = ("pipeline__name",)
