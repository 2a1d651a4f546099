"""What can be done with accounts and API tokens: prove who one is, issue, find, revoke."""

from __future__ import annotations

import calendar
import hashlib
import secrets
from datetime import datetime, timedelta

from django.contrib.auth import authenticate
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from codestream.accounts.backends import find_account
from codestream.accounts.models import ApiToken, Language, User
from codestream.accounts.throttle import REST, PasswordThrottle, Purpose, TokenThrottle
from codestream.core.clock import now
from codestream.core.errors import Refused
from codestream.core.prepared import Prepared

TOKEN_MONTHS = 6
LAST_USED_STEP = timedelta(minutes=1)


class WrongPasswordError(Refused):
    """The name and the password do not fit together."""

    code = "no_match"


class TooManyTriesError(Refused):
    """Whoever tries has to wait for ``seconds``."""

    code = "rests"

    def __init__(self, user_message: str, *, seconds: int) -> None:
        super().__init__(user_message)
        self.seconds = seconds


def prove_account(*, name: str, password: str, address: str, purpose: Purpose) -> User:
    """Return the account, named by user name or e-mail, whose password this is.

    Raises WrongPasswordError, and TooManyTriesError after five failures for the same purpose from
    one address.
    """
    throttle = PasswordThrottle(purpose=purpose, account=_account(name), address=address)
    if throttle.rests():
        raise TooManyTriesError(
            _("Too many failed tries. The account rests for 15 minutes; then try again."),
            seconds=int(REST.total_seconds()),
        )
    user = authenticate(username=name, password=password)
    if not isinstance(user, User):
        throttle.failed()
        raise WrongPasswordError(
            _(
                "That name and password do not fit together. "
                "After five tries the account rests for 15 minutes."
            )
        )
    throttle.succeeded()
    return user


def generate_token(
    *, username: str, password: str, address: str, name: str
) -> tuple[ApiToken, str]:
    """Make a token of the account whose password this is, as ``issue_token`` does.

    Raises WrongPasswordError and TooManyTriesError; right or wrong, five tries a minute count.
    """
    if seconds := TokenThrottle(account=_account(username), address=address).count():
        words = ngettext(
            "Five tries a minute are allowed. Try again in %(seconds)s second.",
            "Five tries a minute are allowed. Try again in %(seconds)s seconds.",
            seconds,
        )
        raise TooManyTriesError(words % {"seconds": seconds}, seconds=seconds)
    owner = prove_account(name=username, password=password, address=address, purpose=Purpose.TOKEN)
    return issue_token(owner=owner, name=name)


def _account(name: str) -> str:
    """What the tries are counted under: the account, whichever way it is named."""
    found = find_account(name.strip())
    return str(found.pk) if found else name.strip().casefold()


def issue_token(*, owner: User, name: str) -> tuple[ApiToken, str]:
    """Make a token that is valid for six months; the text is returned now and never again."""
    text = f"cs_rt_{secrets.token_urlsafe(30)}"
    token = ApiToken.objects.create(
        owner=owner,
        name=name,
        prefix=text[:12],
        digest=digest_of(text),
        expires_at=_months_later(now(), TOKEN_MONTHS),
    )
    return token, text


def find_token(text: str) -> ApiToken | None:
    """Return the live token with this text."""
    token = _BY_DIGEST.first(digest_of(text))
    return token if token is not None and token.is_live else None


_BY_DIGEST = Prepared(
    lambda digest: ApiToken.objects.select_related("owner").filter(digest=digest).order_by()
)


def note_use(*, token: ApiToken) -> None:
    """Remember that the token was used, to the minute."""
    if token.last_used_at is None or now() - token.last_used_at > LAST_USED_STEP:
        ApiToken.objects.filter(pk=token.pk).update(last_used_at=now())


def revoke_token(*, token: ApiToken) -> None:
    """End the token's life; once is enough."""
    ApiToken.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=now())


def choose_language(*, user: User, language: Language) -> None:
    """Show the pages to the person in this language from now on."""
    user.language = language
    user.save(update_fields=["language"])


def digest_of(text: str) -> str:
    """Return the SHA-256 of a token's text; 240 random bits need no salt."""
    return hashlib.sha256(text.encode()).hexdigest()


def _months_later(start: datetime, months: int) -> datetime:
    year, month = divmod(start.year * 12 + start.month - 1 + months, 12)
    day = min(start.day, calendar.monthrange(year, month + 1)[1])
    return start.replace(year=year, month=month + 1, day=day)
