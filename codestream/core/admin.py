"""What the administration of every app shares: rows that people look at, but do not write there."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest


class MadeElsewhereAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Rows that come into being on their own page, where their form is."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody adds one here."""
        return False


class ReadOnlyAdmin(MadeElsewhereAdmin):
    """Rows that only the application itself writes."""

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody changes one by hand."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody deletes one by hand."""
        return False
