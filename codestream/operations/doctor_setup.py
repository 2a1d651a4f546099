"""Examines what is set and what lies in the data folder; asks no database."""

from __future__ import annotations

import ipaddress
import platform
import socket
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import django
from django.conf import settings

from codestream import RELEASE
from codestream.core.crypto import decrypt, encrypt
from codestream.operations.findings import Finding, ok, warn

OLDEST_PYTHON = (3, 11)
SHORTEST_TOKEN = 16
KEY_FILES = ("secret.key", "encryption.key", "lookup.key", "metrics.token")


def versions() -> Iterator[Finding]:
    """What runs."""
    what = (
        f"Codestream {RELEASE}, Django {django.get_version()}, Python {platform.python_version()}."
    )
    if sys.version_info < OLDEST_PYTHON:
        yield warn("versions", what, "Use Python 3.11 or newer.")
    elif django.VERSION[:2] != (5, 2):
        yield warn("versions", what, "Install what requirements.txt names: Django 5.2.")
    else:
        yield ok("versions", what)


def key_files() -> Iterator[Finding]:
    """Keys encrypt, and nobody else on this machine reads them."""
    decrypt(encrypt("canary"))
    open_to_others = [name for name in KEY_FILES if _others_may_read(settings.DATA_DIR / name)]
    for name in open_to_others:
        path = settings.DATA_DIR / name
        yield warn("keys", f"Other accounts may read {path}.", f"chmod 600 {path}")
    if not open_to_others:
        count = len(settings.ENCRYPTION_KEYS)
        yield ok("keys", f"{count} encryption key(s), usable and readable by their owner only.")


def public_url() -> Iterator[Finding]:
    """Whether Docker Hub can call the hook addresses that it is given."""
    parts = urlsplit(settings.PUBLIC_URL)
    todo = "Set PUBLIC_URL to where Docker Hub reaches this server: https://cd.example.com"
    host = parts.hostname or ""
    address = _address_of(host)
    if address is None:
        yield warn("PUBLIC_URL", f"The name {host!r} has no address here.", todo)
    elif not address.is_global:
        what = f"{settings.PUBLIC_URL} leads to {address}, which Docker Hub does not reach."
        yield warn("PUBLIC_URL", what, f"{todo} (not needed with local stand-ins)")
    elif parts.scheme != "https":
        what = f"{settings.PUBLIC_URL} is not https: the token of each delivery can be read."
        yield warn("PUBLIC_URL", what, "Put a proxy with TLS in front, then change PUBLIC_URL.")
    else:
        yield ok("PUBLIC_URL", f"{settings.PUBLIC_URL} leads to {address}.")


def web_settings() -> Iterator[Finding]:
    """What must not be left open on a server."""
    if settings.DEBUG:
        what = "DEBUG is on: errors show settings and sources to everybody."
        yield warn("DEBUG", what, "Unset DEBUG, except on your own machine.")
    else:
        yield ok("DEBUG", "Off.")
    if "*" in settings.ALLOWED_HOSTS:
        host = urlsplit(settings.PUBLIC_URL).hostname or "cd.example.com"
        what = "Every Host header is accepted."
        yield warn("ALLOWED_HOSTS", what, f"Set ALLOWED_HOSTS={host}")
    else:
        yield ok("ALLOWED_HOSTS", ", ".join(settings.ALLOWED_HOSTS) + ".")
    if len(settings.METRICS_TOKEN) < SHORTEST_TOKEN:
        what = f"METRICS_TOKEN has fewer than {SHORTEST_TOKEN} characters."
        yield warn("METRICS_TOKEN", what, "Unset it to have one made, or choose a longer one.")
    else:
        yield ok("METRICS_TOKEN", "Long enough.")


def _others_may_read(path: Path) -> bool:
    return path.exists() and bool(path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO))


def _address_of(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return None
    return ipaddress.ip_address(str(found[0][4][0]))
