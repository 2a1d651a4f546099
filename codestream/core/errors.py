"""The base of every error that Codestream raises on purpose.

Each error says what its reader must know: a stable code for programs, a message for people,
and whether trying again can help.
"""

from __future__ import annotations

from django.utils.translation import gettext

from codestream.core.words import Words, gettext_noop


class CodeStreamError(Exception):
    """An error with a code for programs and a message for people.

    ``user_message`` may be shown on a page at once, ``words`` say the same in any language and may
    be stored in a row: they never hold a secret.
    """

    code = "error"
    retryable = False

    def __init__(self, user_message: str, *, words: Words | None = None) -> None:
        self.words = Words.plain(user_message) if words is None else words
        if isinstance(user_message, Words):
            user_message = user_message.said(gettext)
        super().__init__(user_message)
        self.user_message = user_message


class ConfigurationError(CodeStreamError):
    """A setting is missing or wrong; the message says which one and what to set."""

    code = "configuration"


class Refused(CodeStreamError):
    """The request is understood and cannot be carried out as things stand."""

    code = "refused"


def internal_error(error: Exception) -> Words:
    """Return what people read of a fault of ours, which may say in its own words what is secret."""
    text = gettext_noop("Internal error (%(error)s). The log has the details.")
    return Words(text, {"error": type(error).__name__})
