"""Encrypted model fields: text in Python, ciphertext in the database."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from django.db import models

from codestream.core.crypto import decrypt, encrypt
from codestream.core.json_types import Json

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.models.expressions import Expression


class EncryptedTextField(models.TextField):  # type: ignore[type-arg]
    """Text that is ciphertext in the database; the empty text stays empty."""

    def get_prep_value(self, value: Any) -> str:
        return encrypt(str(value)) if value else ""

    def from_db_value(
        self, value: str | None, expression: Expression, connection: BaseDatabaseWrapper
    ) -> str:
        return decrypt(value) if value else ""


class EncryptedJSONField(models.TextField):  # type: ignore[type-arg]
    """A JSON value that is ciphertext in the database."""

    def get_prep_value(self, value: Any) -> str:
        return encrypt(json.dumps(value))

    def from_db_value(
        self, value: str | None, expression: Expression, connection: BaseDatabaseWrapper
    ) -> Json:
        return json.loads(decrypt(value)) if value else {}

    def to_python(self, value: Any) -> Any:
        return value
