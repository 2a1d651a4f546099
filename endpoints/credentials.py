"""What signs in at an endpoint, with the values of variables in place of ``${var.name}``.

Only credentials may refer to variables. Where an endpoint points to may not: whoever changed the
variable would send a stored password to another host.
"""

from __future__ import annotations

from collections.abc import Mapping

from codestream.core.errors import Refused
from codestream.core.http import Proxy
from codestream.core.references import variable_name
from codestream.core.words import Words, gettext_noop
from codestream.projects.models import Variable
from endpoints.models import Endpoint


def credentials_of(endpoint: Endpoint) -> dict[str, str]:
    """The credentials for the moment of use, never to be stored or shown.

    Raises Refused for a variable that is not there, or that is restricted while the endpoint is
    not: then everybody could use what only administrators may.
    """
    names = {key: variable_name(value) for key, value in endpoint.credentials.items()}
    wanted = set(filter(None, names.values()))
    if not wanted:
        return dict(endpoint.credentials)
    rows = Variable.objects.filter(project_id=endpoint.project_id, name__in=wanted)
    variables = {row.name: row for row in rows}
    return {
        key: _value(endpoint, variables.get(name), name) if name else endpoint.credentials[key]
        for key, name in names.items()
    }


def proxy_at(url: str, credentials: Mapping[str, str]) -> Proxy | None:
    """The proxy of a cluster's endpoint, with what signs in there; None where it has none."""
    if not url:
        return None
    return Proxy(
        url=url,
        username=credentials.get("proxyUsername", ""),
        password=credentials.get("proxyPassword", ""),
    )


def _value(endpoint: Endpoint, variable: Variable | None, name: str) -> str:
    said = {"endpoint": endpoint.name, "name": name}
    if variable is None:
        raise Refused(Words(gettext_noop("The project has no variable “%(name)s”."), said))
    if variable.type == Variable.Type.RESTRICTED and not endpoint.is_restricted:
        raise Refused(
            Words(
                gettext_noop(
                    "The variable “%(name)s” is restricted, and the endpoint “%(endpoint)s” is "
                    "not: an administrator has to mark it restricted."
                ),
                said,
            )
        )
    value: str = variable.value
    return value
