"""Authenticates calls of the REST API by ``Authorization: Bearer <API token>``."""

from __future__ import annotations

from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from codestream.accounts.models import ApiToken, User
from codestream.accounts.services import find_token, note_use


class ApiTokenAuthentication(BaseAuthentication):
    """The token's owner is who calls."""

    def authenticate(self, request: Request) -> tuple[User, ApiToken] | None:
        scheme, _, text = get_authorization_header(request).partition(b" ")
        if scheme.lower() != b"bearer":
            return None
        token = find_token(text.strip().decode("latin-1"))
        if token is None:
            raise AuthenticationFailed("The API token is unknown, expired or revoked.")
        note_use(token=token)
        return token.owner, token

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"
