"""Django's entry for operations: registers periodic work and makes its rows."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class OperationsConfig(AppConfig):
    """What the people who run Codestream need: health, metrics, retention, moving, checking."""

    name = "codestream.operations"
    label = "operations"
    verbose_name = _("Operations")

    def ready(self) -> None:
        from codestream.core import work
        from codestream.operations import chores, retention
        from codestream.operations.models import Chore
        from codestream.operations.places import FREE_PLACES
        from codestream.operations.recovery import LOST_PUSHES

        for chore in (*retention.CHORES, LOST_PUSHES, FREE_PLACES):
            chores.register(chore)
        work.register(
            work.WorkKind(
                name="chore",
                model=Chore,
                step=chores.run_chore,
                fail=chores.fail_chore,
                last_done=chores.last_run,
            )
        )
        post_migrate.connect(_make_rows, sender=self, dispatch_uid="rows of chores")


def _make_rows(using: str, **kwargs: Any) -> None:
    from codestream.operations.chores import ensure_chores

    ensure_chores(using=using)
