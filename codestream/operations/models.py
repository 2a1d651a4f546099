"""Periodic work as rows: claimable like all work, so that one worker of many does it."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from codestream.core.models import Entity
from codestream.core.work import Claimable


class Chore(Entity, Claimable):
    """One kind of periodic work and when it is to be done next; ``chores`` knows what it does."""

    name = models.CharField(_("name"), max_length=64, unique=True)
    last_run_at = models.DateTimeField(_("last run"), null=True, blank=True)
    message = models.TextField(_("message"), blank=True)
    failures = models.PositiveIntegerField(_("failures in a row"), default=0)

    class Meta:
        ordering = ["name"]
        verbose_name = _("chore")
        verbose_name_plural = _("chores")

    def __str__(self) -> str:
        return self.name
