"""The one family of errors that every client of an outside system raises.

Each class stands for a decision of the caller: try again and when, give up, or tell a person what
to change. What an outside system answered is read by its own client, not here.
"""

from __future__ import annotations

from datetime import datetime

from codestream.core.errors import CodeStreamError
from codestream.core.words import Words, gettext_noop, joined


class ClientError(CodeStreamError):
    """An outside system did not do what was asked.

    ``what`` says in one sentence what happened; ``advice`` (a default per class) says what a
    person can do about it. ``retry_at`` is the earliest time another try makes sense, if known.
    """

    code = "client_error"
    advice = ""

    def __init__(
        self,
        what: str,
        *,
        advice: str | None = None,
        retry_at: datetime | None = None,
    ) -> None:
        words = Words.plain(what)
        if hint := self.advice if advice is None else advice:
            words = joined([words, Words.plain(hint)])
        super().__init__(words)
        self.retry_at = retry_at


class Unreachable(ClientError):
    """No answer: the name, the connection, TLS or the time limit failed; a write may be done."""

    code = "unreachable"
    advice = gettext_noop("Check the address and the network between the two systems.")
    retryable = True


class Unauthorized(ClientError):
    """The credentials are wrong or no longer valid. Never tried again by itself."""

    code = "unauthorized"
    advice = gettext_noop("Check the user name and the password or access token of the endpoint.")


class Forbidden(ClientError):
    """The credentials are good, and they lack the right to do this."""

    code = "forbidden"
    advice = gettext_noop(
        "Give the account of the endpoint the right to do this, or use another account."
    )


class NotFound(ClientError):
    """The thing does not exist, or the account may not see it."""

    code = "not_found"
    advice = gettext_noop("Check the name, and that the account of the endpoint may see it.")


class Conflict(ClientError):
    """Something of that name, or another owner of a field, is already there."""

    code = "conflict"
    advice = gettext_noop("Remove or rename what is there, or choose another name.")


class Outdated(ClientError):
    """The object was changed, or deleted, since it was read."""

    code = "outdated"
    advice = ""
    retryable = True


class Invalid(ClientError):
    """The system understood the request and refuses its content."""

    code = "invalid"
    advice = gettext_noop("Correct the value and try again.")


class RateLimited(ClientError):
    """Too many calls; ``retry_at`` says when the next one may be made."""

    code = "rate_limited"
    advice = gettext_noop("Another try makes sense when the limit allows it.")
    retryable = True


class Blocked(ClientError):
    """Something in front of the system turned the call away before the system saw it."""

    code = "blocked"
    advice = gettext_noop(
        "A protection in front of the service refuses this server: ask its operator, "
        "or make the change there by hand."
    )


class ServerFault(ClientError):
    """The system failed inside."""

    code = "server_fault"
    advice = gettext_noop("The fault is on the other side.")
    retryable = True


class Protocol(ClientError):
    """The answer is not what the contract says; a write may be done all the same."""

    code = "protocol"
    advice = gettext_noop(
        "Check that the address leads to the right system and the version is supported."
    )
