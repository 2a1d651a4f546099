"""The request that a page for signed-in people receives."""

from __future__ import annotations

from django.http import HttpRequest
from django_htmx.middleware import HtmxDetails

from codestream.accounts.models import User


class SignedInRequest(HttpRequest):
    """A request behind ``login_required``: its user is one of ours, and HTMX has been read."""

    user: User
    htmx: HtmxDetails
