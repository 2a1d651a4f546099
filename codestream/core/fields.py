"""Model fields: encrypted ones, plain in Python and ciphertext in the database and in a dump of it;
and sentences that wait for their reader's language.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from django.db import models

from codestream.core.crypto import decrypt, encrypt
from codestream.core.json_types import Json
from codestream.core.words import Words

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.models.expressions import Expression

    WordsBase = models.TextField[Words | str, Words]
else:
    WordsBase = models.TextField

WORDS_MARK = '{"text": '
MARK = "encrypted:"
"""Stands before the ciphertext in a dump, so that loading knows it from a plain value."""


class EncryptedTextField(models.TextField):  # type: ignore[type-arg]
    """Text that is ciphertext in the database; the empty text stays empty."""

    def get_prep_value(self, value: Any) -> str:
        return encrypt(str(value)) if value else ""

    def from_db_value(
        self, value: str | None, expression: Expression, connection: BaseDatabaseWrapper
    ) -> str:
        return decrypt(value) if value else ""

    def value_to_string(self, obj: models.Model) -> str:
        """Return what a dump holds: ciphertext, never the value."""
        value = self.value_from_object(obj)
        return MARK + encrypt(str(value)) if value else ""

    def to_python(self, value: Any) -> Any:
        return decrypt(value.removeprefix(MARK)) if _is_dumped(value) else value


class EncryptedJSONField(models.TextField):  # type: ignore[type-arg]
    """A JSON value that is ciphertext in the database."""

    def get_prep_value(self, value: Any) -> str:
        return encrypt(json.dumps(value))

    def from_db_value(
        self, value: str | None, expression: Expression, connection: BaseDatabaseWrapper
    ) -> Json:
        return json.loads(decrypt(value)) if value else {}

    def value_to_string(self, obj: models.Model) -> str:
        """Return what a dump holds: ciphertext, never the value."""
        return MARK + encrypt(json.dumps(self.value_from_object(obj)))

    def to_python(self, value: Any) -> Any:
        return json.loads(decrypt(value.removeprefix(MARK))) if _is_dumped(value) else value


class WordsField(WordsBase):
    """Words as JSON in a column of text; a text that is no JSON is a finished sentence."""

    def get_prep_value(self, value: Any) -> str:
        if not value:
            return ""
        return json.dumps(value.as_json()) if isinstance(value, Words) else str(value)

    def from_db_value(
        self, value: str | None, expression: Expression, connection: BaseDatabaseWrapper
    ) -> Words:
        return self.to_python(value or "")

    def value_to_string(self, obj: models.Model) -> str:
        """Return what a dump holds."""
        return self.get_prep_value(self.value_from_object(obj))

    def to_python(self, value: Any) -> Words:
        if isinstance(value, Words):
            return value
        is_json = value.startswith(WORDS_MARK)
        return Words.from_json(json.loads(value)) if is_json else Words.plain(value)


def _is_dumped(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(MARK)
