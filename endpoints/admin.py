"""Administration of endpoints; credentials do not show."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from codestream.core.admin import MadeElsewhereAdmin
from endpoints.models import Endpoint


@admin.register(Endpoint)
class EndpointAdmin(MadeElsewhereAdmin):
    """Endpoints. Where one points is changed on its own page, which asks for the secret again."""

    list_display = (
        "name",
        "project",
        "kind",
        "is_restricted",
        "last_check_status",
        "last_check_at",
    )
    list_filter = ("kind", "is_restricted", "project")
    list_select_related = ("project",)
    search_fields = ("name",)
    exclude = ("credentials",)
    readonly_fields = ("project", "kind", "properties", "last_check_status", "last_check_message")

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Remember who changed it."""
        obj.edited_by = request.user
        super().save_model(request, obj, form, change)
