"""What cannot be stored is replaced, and nothing else is touched."""

from __future__ import annotations

import pytest

from codestream.core.storable import storable
from codestream.core.words import Words


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("a\x00b", "a\ufffdb"),
        ([float("inf"), 1.5], ["inf", 1.5]),
        ("half \ud83d of a pair", "half \ufffd of a pair"),
        ({"log\x00": ["a\x00", 1, None, True]}, {"log\ufffd": ["a\ufffd", 1, None, True]}),
    ],
)
def test_what_cannot_be_stored_is_replaced(value: object, kept: object) -> None:
    assert storable(value) == kept


@pytest.mark.parametrize("value", ["", "tab\t, line\n, 😀, \x1b[31m", {"a": [1.5]}, None])
def test_everything_else_stays(value: object) -> None:
    assert storable(value) == value


@pytest.mark.parametrize(
    ("seen", "kept"), [(Words.plain("a\x00"), Words.plain("a\ufffd")), (float("nan"), "nan")]
)
def test_words_stay_words(seen: Words | float, kept: str) -> None:
    words = storable(Words("Last seen: %(seen)s", {"seen": seen}))

    assert words.as_json() == Words("Last seen: %(seen)s", {"seen": kept}).as_json()
