"""Django's entry for webhooks: its signals, and the work that workers do for it."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class WebhooksConfig(AppConfig):
    """Docker triggers."""

    name = "webhooks"
    verbose_name = _("Docker triggers")

    def ready(self) -> None:
        from codestream.core import work
        from codestream.projects import belongings, variable_usage
        from webhooks import signals  # noqa: F401
        from webhooks.judging import (
            RELATED,
            fail_event,
            first_in_line,
            in_turn,
            judge_event,
            next_in_line,
        )
        from webhooks.mirror_worker import fail_hook, reconcile
        from webhooks.models import RegistryEvent, RemoteHook
        from webhooks.usage import webhooks_in, webhooks_needing

        events = work.WorkKind(
            name="event",
            model=RegistryEvent,
            step=judge_event,
            fail=fail_event,
            related=RELATED,
            turn=in_turn,
            next_in_line=next_in_line,
            first_in_line=first_in_line,
        )
        work.register(events)
        hooks = work.WorkKind(
            name="hook",
            model=RemoteHook,
            step=reconcile,
            fail=fail_hook,
            related=("endpoint", "webhook"),
        )
        work.register(hooks)
        belongings.register(belongings.Belongings(needing=webhooks_in))
        variable_usage.register_needing(webhooks_needing)
