"""Where a cluster is and how to sign in, and the login's form on the wire.

Pure. Connections and the trust in certificates are left to ``codestream.core.http``.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

from codestream.core.http import Proxy
from codestream.core.words import gettext_noop
from endpoints.clients.base import Invalid


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterAccess:
    """Where a cluster is and how to sign in: by token, by name and password, or by certificate.

    The three ``*_data`` are PEM, plain or in base64 as a kubeconfig holds them. ``server_name`` is
    the name in the certificate of the server, where that is not its host's. The token in a
    ``token_file`` is read anew for each call, since it is exchanged while it is in use.
    """

    url: str
    token: str = ""
    username: str = ""
    password: str = ""
    ca_data: str = ""
    cert_data: str = ""
    key_data: str = ""
    server_name: str = ""
    verify: bool = True
    proxy: Proxy | None = None
    token_file: str = ""

    @property
    def authorization(self) -> str:
        """The header of that name; empty when a certificate, or nothing, signs in."""
        if self.token:
            return f"Bearer {self.token.strip()}"
        if self.username:
            credentials = f"{self.username}:{self.password}".encode()
            return f"Basic {base64.b64encode(credentials).decode()}"
        return ""


def pem(text: str) -> bytes | None:
    """The PEM bytes of a ``*_data`` field, or None where it is empty. Raises Invalid."""
    if not text.strip():
        return None
    if "-----BEGIN" in text:
        return text.encode()
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise Invalid(
            gettext_noop("The certificate data of the endpoint is neither PEM nor base64.")
        ) from error


def one_line(text: str) -> str:
    """Base64 without line breaks; PEM as it is. Raises Invalid when it is neither."""
    return text if pem(text) is None or "-----BEGIN" in text else "".join(text.split())
