"""What the tests of pages share."""

from __future__ import annotations

import pytest

from tests.integration.cast import Cast, make_cast


@pytest.fixture(autouse=True)
def quick_passwords(settings):
    """Hash passwords cheaply: no test is about the strength of the hash."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def cast(db) -> Cast:
    return make_cast()
