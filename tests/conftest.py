"""For all tests: a slow machine fails none of them, and a cluster for those that want one.

The cluster is the stand-in in this process, or a real API server that ``make test-cluster`` names
in ``TEST_KUBECONFIG``. A test that takes ``cluster`` and ``namespace`` alone says something about
any API server; one that takes ``stand_in`` makes it fail on purpose and is skipped on a real one,
and one that takes ``real_cluster`` needs what the stand-in does not play.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from django.utils import translation
from hypothesis import settings as hypothesis_settings
from pytest_django.fixtures import Settings

from codestream.sandbox.kubernetes import KubernetesServer
from endpoints.clients.kubernetes import ClusterAccess, Kubernetes, ObjectRef
from tests.cluster.kubeconfig import real_access

hypothesis_settings.register_profile("without deadline", deadline=None)
hypothesis_settings.load_profile("without deadline")
TOKEN = "a-token-of-the-stand-in"


@pytest.fixture(autouse=True)
def nobodys_language() -> Iterator[None]:
    """A thread keeps the language of its last request; no test begins with that of another."""
    yield
    translation.deactivate()


@pytest.fixture
def stand_in(settings: Settings) -> Iterator[KubernetesServer]:
    if real_access():
        pytest.skip("only the stand-in can be made to do this")
    with KubernetesServer(token=TOKEN, rollout_seconds=0.2) as server:
        settings.OUTGOING_ALLOW = [urlsplit(server.url).netloc]
        yield server


@pytest.fixture
def access(request: pytest.FixtureRequest, settings: Settings) -> ClusterAccess:
    if real := real_access():
        settings.OUTGOING_ALLOW = [urlsplit(real.url).netloc]
        return real
    server: KubernetesServer = request.getfixturevalue("stand_in")
    return ClusterAccess(url=server.url, token=TOKEN)


@pytest.fixture
def cluster(access: ClusterAccess) -> Iterator[Kubernetes]:
    with Kubernetes(access) as client:
        yield client


@pytest.fixture
def real_cluster(cluster: Kubernetes) -> Kubernetes:
    if not real_access():
        pytest.skip("the stand-in does not play this")
    return cluster


@pytest.fixture
def namespace(cluster: Kubernetes) -> Iterator[str]:
    name = f"shop-{secrets.token_hex(4)}"
    cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield name
    cluster.delete(ObjectRef(api_version="v1", kind="Namespace", name=name))
