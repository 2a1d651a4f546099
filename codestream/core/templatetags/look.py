"""The parts of the look as template tags: icons, statuses, fields, times, places."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache

from django import forms, template
from django.forms import BaseForm
from django.forms.boundfield import BoundField
from django.template import Context
from django.templatetags.static import static
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import get_language, gettext

from codestream.core.references import variable_name
from codestream.core.statuses import look_of
from codestream.core.times import in_words, short_time
from codestream.core.widgets import SecretTextarea
from codestream.core.words import Words

register = template.Library()


@register.simple_tag
def icon(name: str, *, small: bool = False, spin: bool = False) -> SafeString:
    """One drawing of the sprite; always decoration, the word stands beside it."""
    classes = " ".join(["icon", *(["s"] if small else []), *(["spin"] if spin else [])])
    return format_html(
        '<svg class="{}" aria-hidden="true"><use href="{}#i-{}"/></svg>',
        classes,
        static("icons.svg"),
        name,
    )


@register.simple_tag
def pill(status: str, word: str = "") -> SafeString:
    """The state of the object that the page is about."""
    return _status(status, word, "pill", get_language())


@register.simple_tag
def state(status: str, word: str = "") -> SafeString:
    """A status inside a table or a list of facts."""
    return _status(status, word, "state", get_language())


@lru_cache(maxsize=1024)
def _status(status: str, word: str, part: str, _language: str | None) -> SafeString:
    """The same few stand in every row of a list."""
    look = look_of(status)
    return format_html(
        '<span class="{}" data-status="{}">{}{}</span>',
        part,
        look.name,
        icon(look.icon, spin=look.spins),
        word or look.word,
    )


@register.filter
def data_status(status: str) -> str:
    """The style sheet's word for a status: ``FAILED_CONTINUE`` is ``failed-continue``."""
    return look_of(status).name


@register.filter
def status_icon(status: str) -> str:
    """The drawing that stands for the status."""
    return look_of(status).icon


@register.filter
def status_word(status: str) -> str:
    """The status in words for people."""
    return str(look_of(status).word)


@register.filter
def said(words: Words | str) -> str:
    """What a worker wrote down, in the reader's language; a text as the catalogue has it."""
    return words.said(gettext) if isinstance(words, Words) else gettext(words)


@register.simple_tag
def when(moment: datetime | None, missing: str = "") -> SafeString | str:
    """``<time>`` with the moment in short words; ``missing`` where there is none."""
    if moment is None:
        return missing
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        moment.isoformat(timespec="seconds"),
        timezone.localtime(moment).strftime("%Y-%m-%d %H:%M:%S %Z"),
        short_time(moment, now=timezone.now()),
    )


@register.simple_tag
def duration(start: datetime | None, end: datetime | None = None) -> str:
    """The time from ``start`` to ``end``, to now while there is no end; empty before the start."""
    if start is None:
        return ""
    return in_words((end or timezone.now()) - start)


@register.inclusion_tag("look/field.html")
def field(
    bound: BoundField, *, mono: bool = False, beside: str = "", project: str = "", address: str = ""
) -> dict[str, object]:
    """Label, input, hint and error of a form field, tied together for assistive technology.

    ``beside`` names a template that is shown next to the input, told its id as ``source`` and the
    name of the ``project``, where that is settled, and an ``address`` to go to.
    """
    return {
        "field": bound,
        "control": _control(bound, mono=mono),
        "shape": _shape(bound),
        "required": bound.field.required or "aria-required" in bound.field.widget.attrs,
        "again": _lost(bound),
        "beside": beside,
        "project": project,
        "address": address,
    }


@register.inclusion_tag("look/errors.html")
def errors(form: BaseForm) -> dict[str, object]:
    """The note on top of a refused form: general errors, and links to the fields in error."""
    return {"form": form, "fields": [form[name] for name in _in_error(form)]}


@register.inclusion_tag("look/place.html", takes_context=True)
def place(context: Context, view: str, name: str, label: str) -> dict[str, object]:
    """One entry of the navigation, with the icon of its name.

    The page says where it is by its context variable ``nav``.
    """
    here = context.get("nav") == name
    return {"url": reverse(view), "icon": name, "label": label, "here": here}


def _shape(bound: BoundField) -> str:
    widget = bound.field.widget
    if isinstance(widget, forms.CheckboxInput):
        return "checkbox"
    return "choices" if isinstance(widget, forms.RadioSelect) else "input"


def _control(bound: BoundField, *, mono: bool) -> SafeString:
    attrs: dict[str, str | bool] = {}
    if _shape(bound) == "input":
        attrs["class"] = f"{_class(bound)} mono" if mono else _class(bound)
    if bound.name in _in_error(bound.form)[:1]:
        attrs["autofocus"] = True
    if _lost(bound):
        described = f"{bound.aria_describedby or ''} {bound.auto_id}_again"
        attrs["aria-describedby"] = described.strip()
    return bound.as_widget(attrs=attrs)


def _in_error(form: BaseForm) -> list[str]:
    """The fields in error as the form orders them; errors are kept as they were found."""
    return [name for name in form.fields if name in form.errors]


def _lost(bound: BoundField) -> bool:
    """Whether a secret was entered that a form, shown again, does not give back."""
    secret = isinstance(bound.field.widget, (forms.PasswordInput, SecretTextarea))
    entered = bound.form.is_bound and bool(bound.data) and not variable_name(bound.data)
    return secret and entered and not bound.errors


def _class(bound: BoundField) -> str:
    widget = bound.field.widget
    if isinstance(widget, forms.Select):
        return "select"
    return "textarea" if isinstance(widget, forms.Textarea) else "input"
