"""What the tests of pages share."""

from __future__ import annotations

import pytest

from tests.integration.cast import Cast, make_cast


@pytest.fixture
def cast(db: None) -> Cast:
    return make_cast()
