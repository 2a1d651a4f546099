"""The service account of the pod that Codestream itself runs in, to sign in at its own cluster.

Only where an administrator switched it on, and at no other place: whoever may write an endpoint
would otherwise send the pod's token wherever an endpoint can point to.
"""

from __future__ import annotations

from pathlib import Path

from django.conf import settings

from codestream.core.errors import Refused
from codestream.core.words import Words, gettext_noop
from endpoints.clients.kubernetes_access import ClusterAccess

AUTH_TYPE = "serviceAccount"
_SWITCHED_OFF = gettext_noop(
    "The service account of the pod is not open to endpoints: an administrator can switch it on "
    "with POD_SERVICE_ACCOUNT=1."
)
_NO_POD = gettext_noop("Codestream does not run in a pod here: there is no service account.")


def pod_server() -> str:
    """The address of the pod's own API server. Raises Refused, with words for whoever reads it."""
    if not settings.POD_SERVICE_ACCOUNT:
        raise Refused(Words(_SWITCHED_OFF))
    if not settings.POD_API_SERVER:
        raise Refused(Words(_NO_POD))
    server: str = settings.POD_API_SERVER
    return server


def pod_access() -> ClusterAccess:
    """How the pod reaches its own API server, as Kubernetes mounts it. Raises Refused."""
    url, folder = pod_server(), Path(settings.POD_ACCOUNT_FOLDER)
    try:
        authority = (folder / "ca.crt").read_text()
    except OSError as error:
        text = gettext_noop("The authority of the cluster cannot be read at %(file)s.")
        raise Refused(Words(text, {"file": str(folder / "ca.crt")})) from error
    return ClusterAccess(url=url, ca_data=authority, token_file=str(folder / "token"))
