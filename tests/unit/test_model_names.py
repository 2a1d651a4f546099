"""The administration names things as people do, and in their language."""

from __future__ import annotations

import pytest
from django.contrib import admin
from django.db import models

from tests.unit.test_catalogue import APPS
from webhooks.models import Push

OURS = [model for model in admin.site._registry if model.__module__.split(".")[0] in APPS]


@pytest.mark.parametrize("model", OURS, ids=lambda model: model.__name__)
def test_one_and_many_have_a_name_of_their_own(model: type[models.Model]) -> None:
    names = {"verbose_name", "verbose_name_plural"}

    assert names <= model._meta.original_attrs.keys()


def test_the_plural_is_english() -> None:
    assert str(Push._meta.verbose_name_plural) == "pushes"
