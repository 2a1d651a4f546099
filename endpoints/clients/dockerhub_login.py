"""Signs in to Docker Hub, as seldom as possible: tokens are kept until shortly before they end.

Failed sign-ins lock the user name for ten minutes, so a refused one is not repeated here, and is
remembered for a moment, for all the webhooks of one account.
"""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import jwt

from codestream.core.clock import now
from codestream.core.http import Response, Session
from codestream.core.words import Words, gettext_noop
from endpoints.clients.base import ClientError, Protocol, Unauthorized
from endpoints.clients.dockerhub_answers import ask, explanation, read_object, refusal, retry_at
from endpoints.clients.dockerhub_errors import AccountLocked, SecondFactor

MARGIN = timedelta(seconds=30)
LOCK = timedelta(minutes=10)
REFUSAL_KEPT = timedelta(minutes=1)
"""However often the same wrong password is tried meanwhile, it counts once towards the lock."""
LIFE_IF_UNTOLD = timedelta(minutes=5)
WISH = Words(gettext_noop("sign in"))
NEVER = datetime.fromtimestamp(0, UTC)


@dataclass(slots=True)
class _Ticket:
    """The token of one credential, or its refusal, shared by all clients of this process."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    token: str = ""
    good_until: datetime = NEVER
    refusal: ClientError | None = None
    refused_until: datetime = NEVER


_tickets: dict[tuple[str, str, str], _Ticket] = {}


class Login:
    """The sign-in of one account at one Docker Hub."""

    def __init__(self, session: Session, base_url: str, username: str, secret: str) -> None:
        self._session = session
        self._base_url = base_url
        self._username = username
        self._secret = secret
        fingerprint = hashlib.sha256(secret.encode()).hexdigest()
        self._ticket = _tickets.setdefault((base_url, username, fingerprint), _Ticket())

    def token(self, *, instead_of: str = "") -> str:
        """A token that should be good: the kept one, or a new one if that is old or was refused.

        Raises Unauthorized when the account is refused, and the errors of any call.
        """
        with self._ticket.lock:
            is_good = self._ticket.token and now() < self._ticket.good_until
            if not is_good or self._ticket.token == instead_of:
                self._renew()
            return self._ticket.token

    def sign_in_anew(self) -> None:
        """Sign in whatever token is kept: that says nothing of the password as it is today.

        Raises as ``token`` does.
        """
        with self._ticket.lock:
            self._renew()

    def _renew(self) -> None:
        """Sign in, unless that was refused just now."""
        ticket = self._ticket
        ticket.token = ""
        if ticket.refusal is not None and now() < ticket.refused_until:
            raise ticket.refusal.with_traceback(None)
        try:
            ticket.token = self._sign_in()
        except (Unauthorized, AccountLocked) as refused:
            ticket.refusal = refused
            ticket.refused_until = refused.retry_at or now() + REFUSAL_KEPT
            raise
        ticket.refusal = None
        ticket.good_until = _end_of(ticket.token) - MARGIN

    def _sign_in(self) -> str:
        if not self._username or not self._secret:
            raise Unauthorized(
                gettext_noop("The endpoint has no user name, or no password or access token.")
            )
        answer = self._post(
            "/v2/auth/token", {"identifier": self._username, "secret": self._secret}
        )
        if answer.status in (404, 405):
            answer = self._post(
                "/v2/users/login", {"username": self._username, "password": self._secret}
            )
        return self._read(answer)

    def _post(self, path: str, body: dict[str, str]) -> Response:
        return ask(self._session, "POST", f"{self._base_url}{path}", json=body)

    def _read(self, answer: Response) -> str:
        if b"login_2fa_token" in answer.body:
            # Seen with 401 and with 200: the field decides.
            raise SecondFactor(
                gettext_noop(
                    "Docker Hub asks for a second factor: this account needs an access token."
                )
            )
        if answer.status != 200:
            raise self._refusal(answer)
        body = read_object(answer, WISH)
        token = body.get("access_token") or body.get("token")
        if not isinstance(token, str):
            raise Protocol(gettext_noop("Docker Hub's answer to the sign-in holds no token."))
        return token

    def _refusal(self, answer: Response) -> ClientError:
        said = explanation(answer, [self._secret]) or Words(gettext_noop("no reason given"))
        if answer.status == 401:
            return Unauthorized(
                Words(
                    gettext_noop(
                        "Docker Hub refused the user name, password or access token: %(said)s."
                    ),
                    {"said": said},
                )
            )
        if answer.status == 429:
            ends = retry_at(answer, now()) or now() + LOCK
            return AccountLocked(
                Words(
                    gettext_noop(
                        "Docker Hub takes no sign-in of %(user)s for some minutes: %(said)s."
                    ),
                    {"user": self._username, "said": said},
                ),
                retry_at=ends,
            )
        return refusal(answer, WISH, now=now(), secrets=[self._secret])


def _end_of(token: str) -> datetime:
    """When the token ends, by its own word; it is Docker Hub's to verify, not ours."""
    try:
        claims = jwt.decode(token, options={"verify_signature": False})
        return datetime.fromtimestamp(float(claims["exp"]), UTC)
    except (jwt.InvalidTokenError, KeyError, TypeError, ValueError, OverflowError, OSError):
        return now() + LIFE_IF_UNTOLD
