"""Administration of Docker triggers; no token, secret or hook URL shows."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from codestream.core.admin import GrowingAdmin, MadeElsewhereAdmin, ReadOnlyAdmin
from webhooks.models import (
    DockerWebhook,
    HookReveal,
    ListenerSecret,
    Push,
    RefusedDelivery,
    RegistryEvent,
    RemoteHook,
)


@admin.register(DockerWebhook)
class DockerWebhookAdmin(MadeElsewhereAdmin):
    """Webhooks; saved one by one, so that Docker Hub follows. The token is set on its own page."""

    list_display = ("name", "project", "endpoint", "pipeline", "enabled", "mirror_mode")
    list_filter = ("enabled", "mirror_mode", "project")
    list_select_related = ("project", "endpoint", "pipeline")
    search_fields = ("name", "image_pattern", "tag_pattern")
    exclude = ("api_token",)
    # What a push starts is changed on the webhook's page, where the token's owner is asked for.
    readonly_fields = (
        "project",
        "endpoint",
        "pipeline",
        "inputs",
        "image_pattern",
        "tag_pattern",
        "settle_seconds",
        "pin_digest",
        "recovery",
        "registry_kind",
        "masked_url",
        "token_set_by",
        "edited_by",
    )

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Remember who changed it."""
        obj.edited_by = request.user
        super().save_model(request, obj, form, change)


@admin.register(ListenerSecret)
class ListenerSecretAdmin(ReadOnlyAdmin):
    """That there is a secret, and since when; never the secret or its keyed hash."""

    list_display = ("webhook", "created_at", "retired_at")
    list_select_related = ("webhook",)
    fields = ("webhook", "created_at", "retired_at")
    readonly_fields = ("created_at",)


@admin.register(HookReveal)
class HookRevealAdmin(ReadOnlyAdmin):
    """Who was shown which hook URL."""

    list_display = ("created_at", "webhook_name", "actor", "remote_addr")
    search_fields = ("webhook_name", "actor")
    fields = ("created_at", "webhook", "webhook_name", "actor", "remote_addr")
    readonly_fields = ("created_at",)


@admin.register(RemoteHook)
class RemoteHookAdmin(ReadOnlyAdmin):
    """What Docker Hub should hold and what it holds."""

    list_display = (
        "remote_name",
        "webhook",
        "endpoint",
        "kept_by",
        "desired",
        "actual",
        "drift",
        "error_code",
    )
    list_filter = ("kept_by", "desired", "actual", "drift", "error_code")
    list_select_related = ("webhook", "endpoint")
    search_fields = ("remote_name", "message")
    exclude = ("hook_url",)
    readonly_fields = ("wake_at", "lease_until", "attempts")


@admin.register(RegistryEvent)
class RegistryEventAdmin(GrowingAdmin):
    """Every delivery and its verdict."""

    list_display = ("created_at", "webhook_name", "image", "tag", "verdict", "message")
    list_filter = ("verdict", "registry", "project")
    list_select_related = ("project",)
    search_fields = ("image", "tag", "digest", "message")


@admin.register(Push)
class PushAdmin(GrowingAdmin):
    """The states of each tag, as each webhook saw them."""

    list_display = ("repository", "tag", "webhook", "sequence", "is_current", "created_at")
    list_filter = ("is_current",)
    list_select_related = ("webhook",)
    ordering = ("-created_at",)
    search_fields = ("repository", "tag", "digest")

    def newest(self) -> QuerySet[Any]:
        """Return those that the newest deliveries told of: pushes have no index by their time."""
        return RegistryEvent.objects.order_by("-created_at").values("push")


@admin.register(RefusedDelivery)
class RefusedDeliveryAdmin(GrowingAdmin):
    """Attempts without a valid token, counted."""

    list_display = ("minute", "remote_addr", "reason", "webhook", "count")
    list_filter = ("reason",)
    list_select_related = ("webhook",)

    def newest(self) -> QuerySet[Any]:
        """Return the last counts."""
        return RefusedDelivery.objects.order_by("-minute").values("pk")
