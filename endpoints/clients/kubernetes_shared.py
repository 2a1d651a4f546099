"""One client per cluster and login for all threads of a process: its connections are kept open."""

from __future__ import annotations

from functools import lru_cache

from django.conf import settings

from endpoints.clients.kubernetes import ClusterAccess, Kubernetes

MOST_CLUSTERS = 64


def shared_client(access: ClusterAccess) -> Kubernetes:
    """The process's client for this access; never to be closed by the one who asks."""
    return _client(access, tuple(settings.OUTGOING_ALLOW))


@lru_cache(maxsize=MOST_CLUSTERS)
def _client(access: ClusterAccess, _allowed: tuple[str, ...]) -> Kubernetes:
    """A new client, whose guard goes by the present setting."""
    return Kubernetes(access)
