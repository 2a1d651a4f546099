"""What the administration of every app shares: rows that people look at, but do not write there."""

from __future__ import annotations

import logging
import re
from typing import Any

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db import DataError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.deprecation import MiddlewareMixin
from django.utils.translation import gettext

from codestream.core.views import bad_request

LISTED = 1000
"""What the list of a table that grows for ever is about: so many of the newest."""
logger = logging.getLogger(__name__)


_UNREADABLE = (ValidationError, DataError, OverflowError)
_NO_NUMBER = re.compile(r"Field '\w+' expected a number but got ")


class AdminInputMiddleware(MiddlewareMixin):
    """Answers 400 where Django's administration hands what stands in an address or a form to a
    field or to the database, and neither can read it: no key, a number that is too large, or a
    text with NUL.
    """

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Leave whatever else fails as it is."""
        match = request.resolver_match
        if match is None or match.app_name != "admin":
            return None
        is_of_a_value = isinstance(exception, ValueError | TypeError) and (
            bool(request.GET) or _NO_NUMBER.match(str(exception))
        )
        if not is_of_a_value and not isinstance(exception, _UNREADABLE):
            return None
        # Should it be a fault of ours after all, the log has it.
        logger.warning("The administration cannot read what it was given.", exc_info=exception)
        return bad_request(request, exception)


class MadeElsewhereAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Rows that come into being on their own page, where their form is."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody adds one here."""
        return False


class ReadOnlyAdmin(MadeElsewhereAdmin):
    """Rows that only the application itself writes."""

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody changes one by hand."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody deletes one by hand."""
        return False


class GrowingAdmin(ReadOnlyAdmin):
    """Rows of a table that grows for ever. Its list, counts, filters and search are about the
    newest, so they cost the same however many there are; every row has its page.

    ``owner`` names what a row belongs to, where the list is about what the newest of those have.
    """

    owner = "pk"
    # Django would count the whole table besides.
    show_full_result_count = False

    def newest(self) -> QuerySet[Any]:
        """Return the keys of the owners, newest first, as an index has them."""
        rows: QuerySet[Any] = self.model._default_manager.order_by("-created_at")
        return rows.values("pk")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """All rows, and in the list the newest."""
        rows = super().get_queryset(request)
        match = request.resolver_match
        if match is None or not str(match.url_name).endswith("_changelist"):
            return rows
        # By keys and not by a time: a server knows beforehand how few they are.
        return rows.filter(**{f"{self.owner}__in": self.newest()[:LISTED]})

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Say under the title what the list is about."""
        words = gettext("Only the newest are listed, filtered and searched.")
        return super().changelist_view(request, {"subtitle": words, **(extra_context or {})})
