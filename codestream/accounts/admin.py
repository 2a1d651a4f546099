"""Administration of people and API tokens; passwords and tokens are stored as hashes only."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.utils.translation import gettext_lazy as _

from codestream.accounts.models import ApiToken, User
from codestream.core.admin import ReadOnlyAdmin


@admin.register(User)
class AccountAdmin(UserAdmin):  # type: ignore[type-arg]
    """People; Django's own pages with the service role added."""

    list_display = ("username", "email", "service_role", "is_active", "is_staff")
    list_filter = ("service_role", "is_active", "is_staff")
    fieldsets = (
        (
            None,
            {"fields": ("username", "password", "email", "first_name", "last_name", "language")},
        ),
        (
            _("What the person may do"),
            {"fields": ("is_active", "service_role", "is_staff", "is_superuser")},
        ),
        (_("Dates"), {"fields": ("last_login", "date_joined")}),
    )
    add_fieldsets = (
        (None, {"fields": ("username", "email", "service_role", "password1", "password2")}),
    )
    filter_horizontal = ()


@admin.register(ApiToken)
class ApiTokenAdmin(ReadOnlyAdmin):
    """Tokens of everybody: when they end and when they were used, never the token or its hash."""

    list_display = ("name", "owner", "prefix", "expires_at", "revoked_at", "last_used_at")
    list_select_related = ("owner",)
    search_fields = ("name", "owner__username")
    fields = ("name", "owner", "prefix", "expires_at", "revoked_at", "last_used_at", "created_at")
