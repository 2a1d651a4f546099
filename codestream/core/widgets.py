"""Form widgets that Django lacks."""

from __future__ import annotations

from typing import Any

from django import forms
from django.forms.renderers import BaseRenderer
from django.forms.utils import flatatt
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from codestream.core.references import variable_name


class SecretTextarea(forms.Textarea):
    """Several lines that are taken in and never given back, not even after an error.

    A reference to a variable is no secret, and stays.
    """

    def format_value(self, value: Any) -> str | None:
        """The reference to a variable; of any other value nothing is shown."""
        return value if variable_name(value) else None


class SecretInput(forms.PasswordInput):
    """One line that is taken in and never given back; a reference to a variable stays, readable."""

    def get_context(self, name: str, value: Any, attrs: dict[str, Any] | None) -> dict[str, Any]:
        """The text of a reference; of any other value nothing is shown."""
        context = super().get_context(name, None, attrs)
        if variable_name(value):
            context["widget"] |= {"value": value, "type": "text"}
        return context


class LongSelect(forms.Select):
    """One of many: the options are written without a template for each, tens of times faster."""

    def render(
        self,
        name: str,
        value: Any,
        attrs: dict[str, Any] | None = None,
        renderer: BaseRenderer | None = None,
    ) -> SafeString:
        chosen = set(self.format_value(value))
        options = format_html_join(
            "",
            '<option value="{}"{}>{}</option>',
            (
                (key, mark_safe(" selected") if str(key) in chosen else "", label)
                for key, label in self.choices
            ),
        )
        given = self.build_attrs(self.attrs, {"name": name, **(attrs or {})})
        return format_html("<select{}>{}</select>", flatatt(given), options)
