"""The clock: one place to ask for the time, so that a test can set it."""

from __future__ import annotations

from datetime import datetime

from django.utils import timezone


def now() -> datetime:
    """Return the present time, aware, in UTC."""
    return timezone.now()
