"""Reads the notifications of Azure Container Registry: one event of Docker Distribution, bare.

Contract: https://learn.microsoft.com/azure/container-registry/container-registry-webhook-reference
"""

from __future__ import annotations

from collections.abc import Mapping

from webhooks.registries.base import Parsed, read_notification
from webhooks.registries.distribution import read_event


class Azure:
    """Azure Container Registry's reader; its ``ping`` tells of no push."""

    name: str = "azure"

    def parse(self, body: bytes, _headers: Mapping[str, str], /) -> tuple[Parsed, ...]:
        """Return the tag that was pushed, or why there is none."""
        return read_notification(body, lambda event: (read_event(self.name, event),))
