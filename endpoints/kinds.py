"""The kinds of endpoint: their label, icon and form, their imported names, and their client."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from codestream.core.errors import Refused
from codestream.core.words import Words, gettext_noop
from endpoints.addresses import repository_address
from endpoints.clients.docker_registry import SECONDS, DockerRegistry
from endpoints.clients.dockerhub import DockerHub, RepositoryAddress
from endpoints.clients.kubernetes import ClusterAccess, Kubernetes
from endpoints.credentials import credentials_of, proxy_at
from endpoints.forms import DockerRegistryForm, EndpointForm, KubernetesForm
from endpoints.models import Endpoint, EndpointKind
from endpoints.pod_account import AUTH_TYPE as POD_ACCOUNT
from endpoints.pod_account import pod_access
from endpoints.server_types import is_docker_hub, server_type_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of outside system, and the ``template`` with the fields of its ``form``.

    ``aliases`` are type names met in exported files, in lower case.
    """

    kind: EndpointKind
    label: Promise
    icon: str
    form: type[EndpointForm]
    template: str
    aliases: frozenset[str]


KINDS: Mapping[str, Kind] = {
    EndpointKind.DOCKER_REGISTRY: Kind(
        kind=EndpointKind.DOCKER_REGISTRY,
        label=_("Docker Registry"),
        icon="docker",
        form=DockerRegistryForm,
        template="endpoints/docker_registry.html",
        aliases=frozenset({"dockerregistry", "docker-registry", "docker.dockerregistry"}),
    ),
    EndpointKind.KUBERNETES: Kind(
        kind=EndpointKind.KUBERNETES,
        label=_("Kubernetes"),
        icon="kubernetes",
        form=KubernetesForm,
        template="endpoints/kubernetes.html",
        aliases=frozenset({"k8s", "kubernetes", "k8s.kubernetesserver"}),
    ),
}


def kind_named(name: str) -> Kind | None:
    """The kind that an imported file means by ``name``, in any of its spellings."""
    wanted = name.strip().lower()
    for kind in KINDS.values():
        if wanted == kind.kind.lower() or wanted in kind.aliases:
            return kind
    return None


def repository_of(endpoint: Endpoint) -> RepositoryAddress:
    """The repository that a Docker Registry endpoint stands for."""
    return repository_address(endpoint.properties.get("repoURL", ""), server_type_of(endpoint))


def docker_hub(endpoint: Endpoint) -> DockerHub:
    """A client for the Docker Hub of the endpoint.

    Raises Refused for another kind or server type, and Invalid when its address is no repository.
    """
    _expect(endpoint, EndpointKind.DOCKER_REGISTRY)
    if not is_docker_hub(endpoint):
        server = server_type_of(endpoint).label
        words = gettext_noop("This can be done in DockerHub only, not in %(server)s.")
        raise Refused(Words(words, {"server": server}))
    credentials = credentials_of(endpoint)
    return DockerHub(
        repository_of(endpoint).base_url,
        credentials.get("username", ""),
        credentials.get("password", "") or credentials.get("token", ""),
    )


def docker_registry(endpoint: Endpoint, *, seconds: float = SECONDS) -> DockerRegistry:
    """A client for the registry that holds the images of the endpoint.

    Raises Refused for another kind, and Invalid when its address is no repository.
    """
    _expect(endpoint, EndpointKind.DOCKER_REGISTRY)
    credentials = credentials_of(endpoint)
    return DockerRegistry(
        repository_of(endpoint).base_url,
        credentials.get("username", ""),
        credentials.get("password", "") or credentials.get("token", ""),
        seconds=seconds,
    )


def kubernetes(endpoint: Endpoint) -> Kubernetes:
    """A client for the cluster of the endpoint. Raises Refused for another kind."""
    _expect(endpoint, EndpointKind.KUBERNETES)
    return Kubernetes(cluster_access(endpoint))


def cluster_access(endpoint: Endpoint) -> ClusterAccess:
    """How to reach the cluster and sign in, whichever spelling of the keys was imported."""
    credentials, properties = credentials_of(endpoint), endpoint.properties
    if properties.get("authType") == POD_ACCOUNT:
        return pod_access()
    return ClusterAccess(
        url=properties.get("kubernetesURL", ""),
        token=credentials.get("token", "") or credentials.get("bearerToken", ""),
        username=credentials.get("username", "") or credentials.get("userName", ""),
        password=credentials.get("password", ""),
        ca_data=properties.get("certAuthorityData", ""),
        cert_data=credentials.get("certData", ""),
        key_data=credentials.get("certKeyData", ""),
        server_name=properties.get("tlsServerName", ""),
        proxy=proxy_at(properties.get("proxyURL", ""), credentials),
    )


def _expect(endpoint: Endpoint, kind: EndpointKind) -> None:
    if endpoint.kind != kind:
        words = gettext_noop("Endpoint %(name)s is not of the type %(kind)s.")
        raise Refused(Words(words, {"name": endpoint.name, "kind": str(KINDS[kind].label)}))
