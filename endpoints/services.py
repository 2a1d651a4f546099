"""What is done with endpoints: kept, checked against the real system, deleted."""

from __future__ import annotations

from contextlib import suppress

from django.db import IntegrityError, transaction
from django.db.models import ProtectedError
from django.utils.translation import gettext as _

from codestream.core.clock import now
from codestream.core.errors import CodeStreamError, Refused
from endpoints.clients.base import Forbidden
from endpoints.kinds import docker_hub, kubernetes, repository_of
from endpoints.models import CheckStatus, Endpoint, EndpointKind


def save_endpoint(
    *,
    endpoint: Endpoint,
    name: str,
    description: str,
    is_restricted: bool,
    properties: dict[str, str],
    credentials: dict[str, str],
) -> Endpoint:
    """Keep an endpoint, new (with its project and kind) or stored; its last check is forgotten.

    Raises Refused when the project has another endpoint of that name.
    """
    endpoint.name, endpoint.description = name, description
    endpoint.is_restricted = is_restricted
    endpoint.properties, endpoint.credentials = properties, credentials
    endpoint.last_check_at, endpoint.last_check_message = None, ""
    endpoint.last_check_status = ""
    try:
        with transaction.atomic():
            endpoint.save()
    except IntegrityError as error:
        raise Refused(_("The project has an endpoint with this name.")) from error
    return endpoint


def validate_endpoint(*, endpoint: Endpoint) -> Endpoint:
    """Sign in to the real system and write down what came of it; talks outside a transaction."""
    try:
        status, message = CheckStatus.PASSED, _check(endpoint)
    except CodeStreamError as error:
        status, message = CheckStatus.FAILED, error.user_message
    endpoint.last_check_at = now()
    endpoint.last_check_status, endpoint.last_check_message = status, message
    endpoint.save(update_fields=["last_check_at", "last_check_status", "last_check_message"])
    return endpoint


def delete_endpoint(*, endpoint: Endpoint) -> None:
    """Delete the endpoint. Raises Refused, naming what still uses it."""
    try:
        endpoint.delete()
    except ProtectedError as error:
        users = ", ".join(sorted(str(user) for user in error.protected_objects))
        raise Refused(
            _("The endpoint is in use by %(users)s. Change or delete that first.")
            % {"users": users}
        ) from error


def _check_cluster(endpoint: Endpoint) -> str:
    """Ask for the version, which needs no credentials, and for something that does."""
    with kubernetes(endpoint) as cluster:
        version = cluster.version()
        # Not every account may list namespaces; being known is all that is asked for here.
        with suppress(Forbidden):
            cluster.list("v1", "Namespace")
    return _("The cluster answers, Kubernetes %(version)s.") % {"version": version}


def _check(endpoint: Endpoint) -> str:
    if endpoint.kind == EndpointKind.KUBERNETES:
        return _check_cluster(endpoint)
    address = repository_of(endpoint)
    with docker_hub(endpoint) as hub:
        repository = hub.repository(address.namespace, address.repository)
    if repository.can_admin is False:
        raise Refused(
            _("Signed in, but the account may not manage the webhooks of %(name)s.")
            % {"name": address}
        )
    return _("Signed in; the repository %(name)s is there.") % {"name": address}
