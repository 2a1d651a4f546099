"""How a status word looks: its icon, its word for people, its name in the style sheet.

The words come from executions, webhooks and endpoints; this module knows only how they are shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """A status as it is shown: ``name`` is the word of the style sheet's ``data-status``."""

    name: str
    icon: str
    word: str | Promise
    spins: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shape:
    icon: str
    word: Promise
    spins: bool = False


def _shape(icon: str, word: Promise, *, spins: bool = False) -> _Shape:
    return _Shape(icon=icon, word=word, spins=spins)


_SHAPES: Mapping[str, _Shape] = {
    # executions, stages and tasks
    "not-started": _shape("idle", _("Not started")),
    "queued": _shape("clock", _("Queued")),
    "started": _shape("running", _("Started"), spins=True),
    "running": _shape("running", _("Running"), spins=True),
    "preparing-workspace": _shape("running", _("Preparing workspace"), spins=True),
    "waiting": _shape("clock", _("Waiting")),
    "pausing": _shape("pause", _("Pausing")),
    "paused": _shape("pause", _("Paused")),
    "resuming": _shape("running", _("Resuming"), spins=True),
    "canceling": _shape("running", _("Canceling"), spins=True),
    "canceled": _shape("cancel", _("Canceled")),
    "completed": _shape("check", _("Completed")),
    "failed": _shape("cross", _("Failed")),
    "failed-continue": _shape("warning", _("Failed, went on")),
    "skipped": _shape("skip", _("Skipped")),
    "rolling-back": _shape("undo", _("Rolling back")),
    "rollback-completed": _shape("undo", _("Rolled back")),
    "rollback-failed": _shape("cross", _("Rollback failed")),
    # deliveries and the steps of their judgement
    "pending": _shape("clock", _("Pending")),
    "triggered": _shape("check", _("Triggered")),
    "duplicate": _shape("equal", _("Duplicate")),
    "ignored": _shape("skip", _("Ignored")),
    "rejected": _shape("cross", _("Rejected")),
    "passed": _shape("check", _("Passed")),
    # pipelines, webhooks and their mirror
    "enabled": _shape("check", _("Enabled")),
    "disabled": _shape("pause", _("Disabled")),
    "released": _shape("play", _("Released")),
    "in-sync": _shape("check", _("In sync")),
    "drift": _shape("warning", _("Changed outside")),
    # approvals, tokens, checks
    "approved": _shape("check", _("Approved")),
    "ready": _shape("check", _("Ready")),
    "expiring": _shape("warning", _("Expires soon")),
    "expired": _shape("cross", _("Expired")),
    "errored": _shape("warning", _("Error")),
    "info": _shape("info", _("Note")),
}


def look_of(status: str) -> Look:
    """The look of a domain status in any spelling; an unknown word is shown as it is, idle."""
    name = str(status).lower().replace("_", "-").replace(" ", "-")
    shape = _SHAPES.get(name)
    if shape is None:
        return Look(name=name, icon="idle", word=name.replace("-", " ").capitalize())
    return Look(name=name, icon=shape.icon, word=shape.word, spins=shape.spins)
