"""What can be done with API tokens: issue, find, revoke."""

from __future__ import annotations

import calendar
import hashlib
import secrets
from datetime import datetime, timedelta

from codestream.accounts.models import ApiToken, User
from codestream.core.clock import now

TOKEN_MONTHS = 6
LAST_USED_STEP = timedelta(minutes=1)


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
    return ApiToken.objects.live().select_related("owner").filter(digest=digest_of(text)).first()


def note_use(*, token: ApiToken) -> None:
    """Remember that the token was used, to the minute."""
    if token.last_used_at is None or now() - token.last_used_at > LAST_USED_STEP:
        ApiToken.objects.filter(pk=token.pk).update(last_used_at=now())


def revoke_token(*, token: ApiToken) -> None:
    """End the token's life; once is enough."""
    ApiToken.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=now())


def digest_of(text: str) -> str:
    """Return the SHA-256 of a token's text; 240 random bits need no salt."""
    return hashlib.sha256(text.encode()).hexdigest()


def _months_later(start: datetime, months: int) -> datetime:
    year, month = divmod(start.year * 12 + start.month - 1 + months, 12)
    day = min(start.day, calendar.monthrange(year, month + 1)[1])
    return start.replace(year=year, month=month + 1, day=day)
