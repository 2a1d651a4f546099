"""Signs in to the real system of an endpoint and says in words what can be done there."""

from __future__ import annotations

from codestream.core.errors import Refused
from codestream.core.words import Words, gettext_noop, joined
from endpoints.clients.base import Forbidden
from endpoints.clients.kubernetes import Kubernetes
from endpoints.clients.kubernetes_rights import needed_rights
from endpoints.kinds import docker_hub, docker_registry, kubernetes, repository_of
from endpoints.models import Endpoint, EndpointKind
from endpoints.server_types import is_docker_hub

_THERE = gettext_noop("Signed in; the repository %(name)s is there.")


def check(endpoint: Endpoint) -> Words:
    """What works, in words. Raises CodeStreamError with what does not; changes nothing there."""
    if endpoint.kind == EndpointKind.KUBERNETES:
        return _check_cluster(endpoint)
    return _check_docker_hub(endpoint) if is_docker_hub(endpoint) else _check_registry(endpoint)


def _check_registry(endpoint: Endpoint) -> Words:
    """Ask for the repository; the webhooks of such a registry are entered by hand."""
    address = repository_of(endpoint)
    with docker_registry(endpoint) as registry:
        registry.check_repository(address.namespace, address.repository)
    return Words(_THERE, {"name": str(address)})


def _check_docker_hub(endpoint: Endpoint) -> Words:
    """Sign in, ask for the repository, and for its webhooks, which not every token may see."""
    address = repository_of(endpoint)
    with docker_hub(endpoint) as hub:
        hub.log_in()
        repository = hub.repository(address.namespace, address.repository)
        if repository.can_admin is False:
            raise Refused(
                Words(
                    gettext_noop(
                        "Signed in, but the account may not manage the webhooks of %(name)s."
                    ),
                    {"name": str(address)},
                )
            )
        hub.list_webhooks(address.namespace, address.repository)
    return Words(_THERE, {"name": str(address)})


def _check_cluster(endpoint: Endpoint) -> Words:
    """Ask for the version, which needs no credentials, and for the rights, which do."""
    with kubernetes(endpoint) as cluster:
        answers = Words(
            gettext_noop("The cluster answers, Kubernetes %(version)s."),
            {"version": cluster.version()},
        )
        try:
            missing = _missing_rights(cluster, endpoint.properties.get("namespace", ""))
        except Forbidden:
            untold = Words(gettext_noop("It does not tell which rights the account has."))
            return joined([answers, untold])
    if missing:
        lacking = gettext_noop("The account lacks rights that a Kubernetes task needs: %(rights)s.")
        lack = Words(lacking, {"rights": ", ".join(missing)})
        advice = gettext_noop("Grant them, or name the namespace that the account works in.")
        raise Refused(joined([answers, lack, Words(advice)]))
    enough = Words(gettext_noop("The account has the rights that a Kubernetes task needs."))
    return joined([answers, enough])


def _missing_rights(cluster: Kubernetes, namespace: str) -> list[str]:
    return [str(right) for right in needed_rights(namespace) if not cluster.is_allowed(right)]
