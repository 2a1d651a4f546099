"""What every row has: a uuid as its key, and when it was made and last changed."""

from __future__ import annotations

import uuid

from django.db import models
from django.utils.translation import gettext_lazy as _


class Timestamped(models.Model):
    """When a row was made and last changed."""

    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    updated_at = models.DateTimeField(_("updated"), auto_now=True)

    class Meta:
        abstract = True


class Entity(Timestamped):
    """A row that the outside may name: its key is a random uuid."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)

    class Meta:
        abstract = True


def newest_first(name: str, *columns: str) -> models.Index:
    """Return the index of a list, newest first, of the rows with given values in ``columns``.

    It holds the whole key of ``core.keyset``, so that a page is read from the index alone.
    """
    return models.Index(fields=[*columns, "-created_at", "-id"], name=name)
