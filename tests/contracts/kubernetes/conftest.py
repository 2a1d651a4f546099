"""A cluster for the contract tests: the stand-in, in this process.

A test that takes ``cluster`` and ``namespace`` alone says something about any API server;
one that takes ``stand_in`` makes it fail on purpose.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from pytest_django.fixtures import Settings

from codestream.sandbox.kubernetes import KubernetesServer
from endpoints.clients.kubernetes import ClusterAccess, Kubernetes, ObjectRef

TOKEN = "a-token-of-the-stand-in"


@pytest.fixture
def stand_in(settings: Settings) -> Iterator[KubernetesServer]:
    with KubernetesServer(token=TOKEN, rollout_seconds=0.2) as server:
        settings.OUTGOING_ALLOW = [urlsplit(server.url).netloc]
        yield server


@pytest.fixture
def access(stand_in: KubernetesServer) -> ClusterAccess:
    return ClusterAccess(url=stand_in.url, token=TOKEN)


@pytest.fixture
def cluster(access: ClusterAccess) -> Iterator[Kubernetes]:
    with Kubernetes(access) as client:
        yield client


@pytest.fixture
def namespace(cluster: Kubernetes) -> Iterator[str]:
    name = f"shop-{secrets.token_hex(4)}"
    cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield name
    cluster.delete(ObjectRef(api_version="v1", kind="Namespace", name=name))
