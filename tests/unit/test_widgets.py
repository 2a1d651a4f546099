from __future__ import annotations

import pytest
from django import forms
from pytest_django.asserts import assertHTMLEqual

from codestream.core.widgets import LongSelect

CHOICES = [("", "All"), ("1", "one & <two>"), (2, "three")]


@pytest.mark.parametrize("value", [None, "", "1", 2, "x"])
def test_a_long_choice_is_written_as_django_writes_any(value: str | int | None) -> None:
    attrs = {"class": "select", "id": "id_one", "disabled": True}
    long, short = (kind(choices=CHOICES) for kind in (LongSelect, forms.Select))

    assertHTMLEqual(long.render("one", value, attrs), short.render("one", value, attrs))
