"""Rows that are locked together, until the transaction ends."""

from __future__ import annotations

from typing import Any

from django.db import models


def lock_in_order(rows: models.QuerySet[Any]) -> None:
    """Lock the rows, always in the same order: two transactions that each hold one of two rows
    would wait for ever.
    """
    list(rows.order_by("pk").select_for_update(of=("self",)).values_list("pk", flat=True))
