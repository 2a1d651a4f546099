"""Django's entry for the foundation: system checks and template tags."""

from __future__ import annotations

from django.apps import AppConfig


class CoreConfig(AppConfig):
    """The foundation; it has no tables of its own."""

    name = "codestream.core"
    label = "core"

    def ready(self) -> None:
        from codestream.core import checks  # noqa: F401
