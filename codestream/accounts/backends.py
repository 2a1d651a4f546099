"""Signs a person in by user name or e-mail address."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.db.models import Q
from django.http import HttpRequest

from codestream.accounts.models import User


def find_account(name: str) -> User | None:
    """The account of this user name or e-mail address."""
    match = User.objects.filter(Q(username=name) | Q(email__iexact=name))
    return match.order_by("username").first()


class NameOrEmailBackend(ModelBackend):
    """Django's own check of the password, for either spelling of who it is."""

    def authenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        **kwargs: Any,
    ) -> User | None:
        name = username or kwargs.get("email") or ""
        found = find_account(name)
        user = super().authenticate(
            request, username=found.username if found else name, password=password
        )
        return user if isinstance(user, User) else None
