"""What the API answers where it has no resource."""

from __future__ import annotations

from rest_framework.decorators import api_view
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response


@api_view(["GET", "POST", "PUT", "PATCH", "DELETE"])
def nothing_here(request: Request) -> Response:
    """Answer 404 in the API's own form."""
    raise NotFound
