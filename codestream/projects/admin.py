"""Administration of projects, members and variables; values of variables do not show."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from codestream.projects.models import Membership, Project, Variable


class MembershipInline(admin.TabularInline):  # type: ignore[type-arg]
    """The people of a project."""

    model = Membership
    extra = 0
    autocomplete_fields = ("user",)


@admin.register(Project)
class ProjectAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Projects with their people."""

    list_display = ("name", "state", "created_at")
    search_fields = ("name",)
    inlines = (MembershipInline,)
    readonly_fields = ("state",)

    def has_delete_permission(self, request: HttpRequest, obj: Project | None = None) -> bool:
        """Its own page deletes one, and says what still needs it."""
        return False


@admin.register(Membership)
class MembershipAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Who belongs where."""

    list_display = ("user", "project", "role")
    list_filter = ("role", "project")
    list_select_related = ("user", "project")
    autocomplete_fields = ("user", "project")


@admin.register(Variable)
class VariableAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Variables without their values: those are changed on the page of the variable."""

    list_display = ("name", "project", "type", "updated_at")
    list_filter = ("type", "project")
    list_select_related = ("project",)
    search_fields = ("name",)
    autocomplete_fields = ("project",)
    exclude = ("value",)

    def has_delete_permission(self, request: HttpRequest, obj: Variable | None = None) -> bool:
        """Its own page deletes one, and says what still needs it."""
        return False

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Remember who changed it."""
        obj.edited_by = request.user
        super().save_model(request, obj, form, change)
