"""Encryption of what must be kept and must not be read: Fernet with key rotation.

The first key of ``ENCRYPTION_KEYS`` encrypts; every key decrypts. Columns are in ``fields``.
"""

from __future__ import annotations

import hashlib
import hmac
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings

from codestream.core.errors import ConfigurationError


class UndecipherableError(ConfigurationError):
    """A stored value was encrypted with a key that is not among ENCRYPTION_KEYS."""

    code = "undecipherable"


def encrypt(text: str) -> str:
    """Return ``text`` encrypted, as ASCII."""
    return _fernet(tuple(settings.ENCRYPTION_KEYS)).encrypt(text.encode()).decode("ascii")


def decrypt(ciphertext: str) -> str:
    """Return what ``encrypt`` was given; raises UndecipherableError when no key fits."""
    try:
        return _fernet(tuple(settings.ENCRYPTION_KEYS)).decrypt(ciphertext).decode()
    except InvalidToken as error:
        raise UndecipherableError(
            "A stored secret cannot be decrypted: its key is not in ENCRYPTION_KEYS. "
            "Set ENCRYPTION_KEYS to the keys this database was used with, newest first."
        ) from error


def fingerprint(text: str) -> str:
    """Return the keyed HMAC-SHA256 of ``text`` in hex: equal for equal texts, of no use alone."""
    keyed = _keyed_for_lookups(settings.LOOKUP_KEY).copy()
    keyed.update(text.encode())
    return keyed.hexdigest()


@lru_cache(maxsize=4)
def _keyed_for_lookups(setting: str) -> hmac.HMAC:
    key = hashlib.sha256(b"codestream lookup\0" + setting.encode()).digest()
    return hmac.new(key, digestmod=hashlib.sha256)


@lru_cache(maxsize=4)
def _fernet(keys: tuple[str, ...]) -> MultiFernet:
    try:
        return MultiFernet([Fernet(key) for key in keys])
    except ValueError as error:
        raise ConfigurationError(
            "ENCRYPTION_KEYS holds a key that is not 32 bytes in URL-safe base64. "
            "cryptography.fernet.Fernet.generate_key() makes one."
        ) from error
