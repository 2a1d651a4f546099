"""Checks at start: each says what is wrong and what to set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from codestream.core.client_address import trusted_networks
from codestream.core.crypto import decrypt, encrypt
from codestream.core.errors import ConfigurationError


@register()
def check_encryption(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """Every key is usable, and what the first encrypts comes back."""
    try:
        decrypt(encrypt("canary"))
    except ConfigurationError as error:
        return [Error(error.user_message, id="codestream.E001")]
    return []


@register()
def check_public_url(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """The base of the webhook addresses is an address."""
    parts = urlsplit(settings.PUBLIC_URL)
    if parts.scheme in {"http", "https"} and parts.netloc and not parts.query:
        return []
    return [
        Error(
            f"PUBLIC_URL is {settings.PUBLIC_URL!r}, which is not the base of a web address.",
            hint="Set PUBLIC_URL to where Docker Hub reaches this server: https://cd.example.com",
            id="codestream.E002",
        )
    ]


@register()
def check_retention(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """No limit is below 0: everything would be older than that."""
    return [
        Error(
            f"{name} is {getattr(settings, name)}.",
            hint=f"Set {name} to a number above 0, or to 0, which keeps for ever.",
            id="codestream.E004",
        )
        for name in sorted(set(dir(settings)))
        if name.startswith("RETENTION_") and getattr(settings, name) < 0
    ]


@register()
def check_trusted_proxies(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """Every trusted proxy is an address or a network."""
    try:
        trusted_networks(tuple(settings.TRUSTED_PROXIES))
    except ValueError as error:
        return [
            Error(
                f"TRUSTED_PROXIES cannot be read: {error}.",
                hint="Set it to the addresses or networks of your proxies: 10.0.0.2,10.1.0.0/16",
                id="codestream.E003",
            )
        ]
    return []
