"""What every row has: a uuid as its key, and when it was made and last changed."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from codestream.core.json_types import JsonObject
from codestream.core.words import Words


class Timestamped(models.Model):
    """When a row was made and last changed."""

    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    updated_at = models.DateTimeField(_("updated"), auto_now=True)

    class Meta:
        abstract = True


class Entity(Timestamped):
    """A row that the outside may name: its key is a random uuid."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)

    class Meta:
        abstract = True


class Telling(models.Model):
    """A row with a sentence: ``message`` in English for programs and the search, its template for
    people.
    """

    message = models.TextField(blank=True)
    message_words = models.JSONField(default=dict, blank=True, editable=False)

    class Meta:
        abstract = True

    def say(self, words: str) -> None:
        """Set the sentence."""
        self.message, self.message_words = str(words), words_in(words)

    @property
    def words(self) -> Words:
        """The sentence; those of the first releases have no template."""
        if self.message_words:
            return Words.from_json(self.message_words)
        return Words.plain(self.message)


def words_in(sentence: object) -> JsonObject:
    """What is kept of a sentence besides its English; nothing where it has no template."""
    return sentence.as_json() if isinstance(sentence, Words) else {}


def where_set(name: str, column: str) -> models.Index:
    """Return the index of a reference that most rows do not have: those cost nothing."""
    return models.Index(fields=[column], name=name, condition=Q(**{f"{column}__isnull": False}))


def newest_first(name: str, *columns: str) -> models.Index:
    """Return the index of a list, newest first, of the rows with given values in ``columns``.

    It holds the whole key of ``core.keyset``, so that a page is read from the index alone.
    """
    return models.Index(fields=[*columns, "-created_at", "-id"], name=name)
