"""The refusals of Docker Hub that ask for different things of a person."""

from __future__ import annotations

from codestream.core.words import gettext_noop
from endpoints.clients.base import Forbidden, RateLimited, Unauthorized


class SecondFactor(Unauthorized):
    """The account signs in with a code as well, and nobody is here to type one."""

    code = "second_factor"
    advice = gettext_noop(
        "Create an access token in Docker Hub and enter it in place of the password."
    )


class TokenRefused(Unauthorized):
    """Signed in, and the token that was given for it is refused: no fault of the password."""

    code = "token_refused"
    advice = gettext_noop(
        "Docker Hub may not take tokens of this kind here: try the password or another access "
        "token, or paste the webhook's URL by hand."
    )


class TokenLacksRight(Forbidden):
    """The access token has a smaller scope than its account."""

    code = "token_lacks_right"
    advice = gettext_noop(
        "Create an access token with the permissions Read, Write and Delete and enter it in the "
        "endpoint."
    )


class NotAdministrator(Forbidden):
    """The account may see the repository and not manage it."""

    code = "not_administrator"
    advice = gettext_noop(
        "Make the account of the endpoint an administrator of the repository, or use another "
        "account."
    )


class AccountLocked(RateLimited):
    """Too many failed sign-ins: for some minutes the right password is refused too."""

    code = "account_locked"
    advice = gettext_noop(
        "Wait until it is over and check the password; each wrong one may lock it again."
    )
