"""Times and durations in words, short enough for a table."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _


def short_time(moment: datetime, *, now: datetime) -> str:
    """``14:32 today``, ``14:32 yesterday``, ``22 Nov, 14:32`` this year, else ``22 Nov 2027``."""
    local, today = timezone.localtime(moment), timezone.localtime(now).date()
    clock = date_format(local, "H:i")
    if local.date() == today:
        return _("%(clock)s today") % {"clock": clock}
    if local.date() == today - timedelta(days=1):
        return _("%(clock)s yesterday") % {"clock": clock}
    if local.year == today.year:
        return f"{date_format(local, 'j M')}, {clock}"
    return date_format(local, "j M Y")


def in_words(length: timedelta) -> str:
    """``0.4 s``, ``12 s``, ``3 min 5 s``, ``2 h 10 min``; a negative length counts as none."""
    seconds = max(length.total_seconds(), 0.0)
    if seconds < 1:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 1:
        return f"{rest} s"
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def start_of(day: date) -> datetime:
    """The first moment of the day, where the person is."""
    return timezone.make_aware(datetime.combine(day, time.min))
