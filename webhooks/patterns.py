"""The regular expressions of a webhook's filter: checked for forms, matched under a time limit.

Patterns are written by people who may use the project, not by administrators, so no pattern
may hold a worker up.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Final

import regex

from codestream.core.errors import CodeStreamError
from codestream.core.words import Words, gettext_noop

LONGEST_PATTERN: Final = 256
MATCH_SECONDS: Final = 0.1

# Least counts are unrolled when a pattern is compiled: nested ones cost their product in memory.
_LARGEST_REPETITION: Final = 100_000
_LEAST_COUNT: Final = regex.compile(r"\{\s*(\d+)")

# What the package says, in the words of the form. Positions are counted from 1.
_PLAIN_WORDS: Final = {
    "unbalanced parenthesis": gettext_noop(
        "The bracket closed at position %(at)s was never opened."
    ),
    "nothing to repeat": gettext_noop("The repetition at position %(at)s has nothing to repeat."),
    "multiple repeat": gettext_noop(
        "The repetition at position %(at)s repeats another repetition."
    ),
    "min repeat greater than max repeat": gettext_noop(
        "The repetition at position %(before)s has a least count above its greatest."
    ),
    "repeat count too big": gettext_noop("The repetition at position %(before)s is too large."),
    "bad escape (end of pattern)": gettext_noop("The backslash at the end has nothing to escape."),
    "bad character range": gettext_noop(
        "The range that ends at position %(before)s is the wrong way round."
    ),
}
_UNCLOSED: Final = frozenset({"missing )", "unterminated character set"})


class PatternError(CodeStreamError):
    """A pattern that cannot be used, and why, in plain words."""

    code = "pattern_invalid"

    def __init__(self, words: Words) -> None:
        super().__init__(str(words), words=words)


class PatternTimeoutError(PatternError):
    """The pattern took longer than ``MATCH_SECONDS`` to compare."""

    code = "pattern_timeout"


def check_pattern(text: str, translate: Callable[[str], str] = gettext_noop) -> str | None:
    """Return why ``text`` is no usable pattern, with the position counted from 1; else None."""
    try:
        _compiled(text)
    except PatternError as error:
        return error.words.said(translate)
    return None


def matches(pattern: str, text: str) -> bool:
    """Return whether the whole of ``text`` matches; an empty pattern matches anything.

    Raises PatternError for an unusable pattern and PatternTimeoutError for one that is too slow.
    """
    if not pattern:
        return True
    try:
        return _compiled(pattern).fullmatch(text, timeout=MATCH_SECONDS) is not None
    except TimeoutError:
        raise PatternTimeoutError(
            Words(
                gettext_noop(
                    "The comparison was given up after %(seconds)s seconds. "
                    "Repetitions inside repetitions, as in (a+)+, cause this."
                ),
                {"seconds": MATCH_SECONDS},
            )
        ) from None


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> regex.Pattern[str]:
    if len(pattern) > LONGEST_PATTERN:
        raise PatternError(
            Words(
                gettext_noop("The pattern has %(count)s characters; at most %(most)s are allowed."),
                {"count": len(pattern), "most": LONGEST_PATTERN},
            )
        )
    counts = (max(int(count), 1) for count in _LEAST_COUNT.findall(pattern))
    if math.prod(counts) > _LARGEST_REPETITION:
        raise PatternError(
            Words(
                gettext_noop("The counted repetitions multiply to more than %(most)s."),
                {"most": f"{_LARGEST_REPETITION:,}"},
            )
        )
    try:
        return regex.compile(pattern)
    except regex.error as error:
        raise PatternError(_in_plain_words(pattern, error)) from None


def _in_plain_words(pattern: str, error: regex.error) -> Words:
    # The published types of the package leave these two attributes out.
    complaint: str = getattr(error, "msg", str(error))
    at: int = (getattr(error, "pos", None) or 0) + 1
    if complaint in _UNCLOSED and (opened := _unclosed_bracket(pattern)):
        unclosed = gettext_noop("The bracket opened at position %(at)s is never closed.")
        return Words(unclosed, {"at": opened})
    if text := _PLAIN_WORDS.get(complaint):
        return Words(text, {"at": at, "before": at - 1})
    unknown = gettext_noop("The pattern is not valid before position %(at)s: %(complaint)s.")
    return Words(unknown, {"at": at, "complaint": complaint})


def _unclosed_bracket(pattern: str) -> int:
    """Return the position, from 1, of the innermost bracket left open; 0 when all are closed."""
    opened: list[int] = []
    set_opened = 0
    escaped = False
    for position, character in enumerate(pattern, start=1):
        if escaped:
            escaped = False
        elif character == "\\":
            escaped = True
        elif set_opened:
            # "]" right after "[" or "[^" stands for itself.
            if character == "]" and pattern[set_opened : position - 1] not in {"", "^"}:
                set_opened = 0
        elif character == "[":
            set_opened = position
        elif character == "(":
            opened.append(position)
        elif character == ")" and opened:
            opened.pop()
    return set_opened or (opened[-1] if opened else 0)
