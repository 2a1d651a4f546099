"""Form widgets that Django lacks."""

from __future__ import annotations

from typing import Any

from django import forms


class SecretTextarea(forms.Textarea):
    """Several lines that are taken in and never given back, not even after an error."""

    def format_value(self, value: Any) -> str | None:
        """Whatever the value, nothing is shown."""
        return None
