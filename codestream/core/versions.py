"""Two windows on one row: the save of the later one does not undo that of the earlier unseen.

A form carries when its row was last changed. The row may have changed since the form was shown,
which the form finds out, or since the request read it, which the service does under a lock. Or it
is gone altogether.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, cast

from django import forms
from django.db import models
from django.forms.boundfield import BoundField
from django.http import Http404, QueryDict
from django.utils.translation import gettext as _

from codestream.core.clock import now
from codestream.core.errors import Refused
from codestream.core.models import Timestamped
from codestream.core.times import short_time
from codestream.core.widgets import SecretTextarea


class ChangedMeanwhileError(Refused):
    """Somebody else saved the row since it was read."""

    code = "changed_meanwhile"

    def __init__(self, user_message: str, *, version: str) -> None:
        super().__init__(user_message)
        self.version = version


class DeletedMeanwhileError(Refused, Http404):
    """Somebody, or the retention, has deleted the row since it was read. A page about it that does
    not say so itself is not found.
    """

    code = "deleted_meanwhile"

    def __init__(self, row: models.Model) -> None:
        super().__init__(_("%(name)s was deleted meanwhile.") % {"name": row})


class VersionedForm(forms.Form):
    """The form of a row that others may save at the same time.

    One that carries no version is refused like one that carries an old one.
    """

    version = forms.CharField(required=False, widget=forms.HiddenInput())
    is_outdated = False
    """Whether it was refused because of what somebody else saved."""

    def watch(self, row: Timestamped | None) -> None:
        """Remember as which ``row`` stands now, unless an earlier page of the form did; a new row
        has no version.
        """
        self._watched = row
        if row is None:
            del self.fields["version"]
        else:
            self.initial["version"] = self.initial.get("version") or _version_of(row)

    def clean(self) -> dict[str, Any]:
        """Refuse once what was entered over an older state. Who saves again has been told."""
        cleaned = super().clean() or self.cleaned_data
        row, shown = self._watched, cleaned.pop("version", "")
        if row is not None and shown != _version_of(row):
            self.show_change(_changed(row) if shown else _unseen(row))
            self._show_stored()
        return cleaned

    def saved_by(self, save: Callable[[], object]) -> bool:
        """Save what was entered; False leaves on the form what somebody else saved meanwhile, or
        at its name why it is Refused.
        """
        try:
            save()
        except ChangedMeanwhileError as refusal:
            self.show_change(refusal)
        except Refused as refusal:
            self.add_error("name", refusal.user_message)
        else:
            return True
        return False

    def show_change(self, refusal: ChangedMeanwhileError) -> None:
        """Come back with everything that was entered, over the row as it stands now."""
        self.add_error(None, refusal.user_message)
        self.is_outdated = True
        entered = cast("QueryDict", self.data).copy()
        entered["version"] = refusal.version
        self.data = entered

    def _show_stored(self) -> None:
        """Beside everything that was entered differently, say what is stored; no secret is."""
        for name in self.changed_data:
            bound, widget = self[name], self.fields[name].widget
            if widget.is_hidden or "data-secret" in widget.attrs:
                continue
            if not isinstance(widget, SecretTextarea):
                words = _("Stored now: %(value)s") % {"value": _in_words(bound)}
                bound.help_text = words


def require_unchanged(row: Timestamped) -> None:
    """Lock the stored row until the transaction ends. Raises ChangedMeanwhileError when it is not
    the one that was read, and DeletedMeanwhileError when it is gone; a new row is none yet.
    """
    rows: models.QuerySet[Any] = type(row)._default_manager.all()
    stored = rows.select_for_update(no_key=True).filter(pk=row.pk).first()
    if stored is None and not row._state.adding:
        raise DeletedMeanwhileError(row)
    if stored is not None and stored.updated_at != row.updated_at:
        raise _changed(stored)


def require_present(row: models.Model) -> None:
    """Lock the stored row until the transaction ends. Raises DeletedMeanwhileError."""
    rows = type(row)._base_manager.filter(pk=row.pk)
    if not list(rows.select_for_update(no_key=True).values_list("pk", flat=True)):
        raise DeletedMeanwhileError(row)


def _in_words(bound: BoundField) -> str:
    """What the field showed before anything was entered, as a person reads it."""
    value = bound.initial
    if isinstance(bound.field, forms.ModelChoiceField):
        return bound.field.label_from_instance(value) if value is not None else _("nothing")
    if isinstance(bound.field, forms.ChoiceField):
        choices = cast("Iterable[tuple[Any, Any]]", bound.field.choices)
        return str(dict(choices).get(value, value))
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    return str(value) if value not in (None, "") else _("nothing")


def _version_of(row: Timestamped) -> str:
    return row.updated_at.isoformat()


def _changed(row: Timestamped) -> ChangedMeanwhileError:
    if getattr(row, "edited_by", None) is None:
        words = _("This was changed since you opened it: %(when)s.")
    else:
        words = _("This was changed since you opened it: %(when)s, last edited by %(who)s.")
    return _refusal(row, words)


def _unseen(row: Timestamped) -> ChangedMeanwhileError:
    """The refusal of entries of which nobody knows what they were made over."""
    if getattr(row, "edited_by", None) is None:
        words = _("It is not known which state you opened. The stored one is of %(when)s.")
    else:
        words = _(
            "It is not known which state you opened. The stored one is of %(when)s, last edited "
            "by %(who)s."
        )
    return _refusal(row, words)


def _refusal(row: Timestamped, words: str) -> ChangedMeanwhileError:
    said = {
        "who": getattr(row, "edited_by", None),
        "when": short_time(row.updated_at, now=now()),
    }
    advice = _("Your entries are still here. Look at what is stored now; Save replaces it.")
    return ChangedMeanwhileError(f"{words % said} {advice}", version=_version_of(row))
