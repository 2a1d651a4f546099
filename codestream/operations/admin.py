"""Administration of periodic work: what was done last, and when it is due again."""

from __future__ import annotations

from django.contrib import admin

from codestream.core.admin import ReadOnlyAdmin
from codestream.operations.models import Chore


@admin.register(Chore)
class ChoreAdmin(ReadOnlyAdmin):
    """Every chore; workers do them."""

    list_display = ("name", "last_run_at", "message", "failures", "wake_at")
    readonly_fields = ("wake_at", "lease_until", "lease_owner", "attempts")
