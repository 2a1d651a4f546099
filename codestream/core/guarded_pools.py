"""Connections for urllib3 that ask the address guard, and the TLS trust they use.

Only ``codestream.core.http`` uses this; calls, answers and errors are its matter.
"""

from __future__ import annotations

import socket
import ssl
import tempfile
from contextlib import closing
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import certifi
import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

from codestream.core.address_guard import AddressGuard
from codestream.core.errors import ConfigurationError
from codestream.core.words import Words, gettext_noop


class _Guarded:
    """Connects to the addresses that the guard has checked, with no second look-up."""

    _dns_host: str
    host: str
    port: int

    def __init__(self, *args: Any, guard: AddressGuard, **kwargs: Any) -> None:
        self._guard = guard
        super().__init__(*args, **kwargs)

    def _new_conn(self) -> socket.socket:
        name = self._dns_host
        addresses = self._checked_addresses(name)
        try:
            return self._first_that_answers(addresses)
        finally:
            # TLS and the Host header must see the name, not the address.
            self._dns_host = name

    def _checked_addresses(self, name: str) -> list[str]:
        try:
            return self._guard.addresses(name, self.port)
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from error  # type: ignore[arg-type]
        except UnicodeError as error:
            reason = socket.gaierror(socket.EAI_NONAME, "not a host name")
            raise NameResolutionError(self.host, self, reason) from error  # type: ignore[arg-type]

    def _first_that_answers(self, addresses: list[str]) -> socket.socket:
        for address in addresses[:-1]:
            self._dns_host = address
            try:
                return self._connect()
            except (NewConnectionError, ConnectTimeoutError):
                continue
        self._dns_host = addresses[-1]
        return self._connect()

    def _connect(self) -> socket.socket:
        connected: socket.socket = super()._new_conn()  # type: ignore[misc]
        return connected


class _GuardedHTTPConnection(_Guarded, HTTPConnection):
    """Plain HTTP behind the guard."""


class _GuardedHTTPSConnection(_Guarded, HTTPSConnection):
    """HTTP over TLS behind the guard."""


class _PlainPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _GuardedHTTPConnection


class _TLSPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _GuardedHTTPSConnection


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """An HTTP proxy, ``http://host:port``, and the account that it asks for, if it does."""

    url: str
    username: str = ""
    password: str = field(default="", repr=False)

    @property
    def headers(self) -> dict[str, str]:
        """What signs in at the proxy, and is sent to nobody else."""
        if not self.username:
            return {}
        return urllib3.make_headers(proxy_basic_auth=f"{self.username}:{self.password}")


class GuardedPools(urllib3.PoolManager):
    """A pool manager whose every connection, after a redirect too, asks the guard."""

    def __init__(self, guard: AddressGuard, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.pool_classes_by_scheme = _pool_classes(guard)


class ProxiedPools(urllib3.ProxyManager):
    """The same through a proxy: every connection goes to it, and the guard is asked about it.

    TLS is made with the server behind it, in a tunnel.
    """

    def __init__(self, guard: AddressGuard, proxy: Proxy, **kwargs: Any) -> None:
        super().__init__(proxy.url, proxy_headers=proxy.headers, **kwargs)
        self._guard = guard
        self.pool_classes_by_scheme = _pool_classes(guard)

    def connection_from_host(
        self,
        host: str | None,
        port: int | None = None,
        scheme: str | None = "http",
        pool_kwargs: dict[str, Any] | None = None,
    ) -> urllib3.HTTPConnectionPool:
        """Ask about the server too, as far as its address is known here."""
        self._guard.check_literal(host or "", port or {"https": 443}.get(scheme or "", 80))
        return super().connection_from_host(host, port, scheme, pool_kwargs)


def _pool_classes(guard: AddressGuard) -> Any:
    # Callables instead of classes: each pool hands the guard on to its connections.
    return {"http": partial(_PlainPool, guard=guard), "https": partial(_TLSPool, guard=guard)}


def peer_certificate(
    guard: AddressGuard,
    host: str,
    port: int,
    *,
    server_name: str,
    seconds: float,
    proxy: Proxy | None = None,
) -> bytes:
    """The certificate that a server shows, in DER, whoever signed it; nothing is sent to it.

    Raises AddressRefused and OSError, and urllib3's exceptions.
    """
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with (
        closing(_connected(guard, host, port, seconds, proxy)) as connection,
        context.wrap_socket(connection, server_hostname=server_name or host) as secured,
    ):
        return secured.getpeercert(binary_form=True) or b""


def _connected(
    guard: AddressGuard, host: str, port: int, seconds: float, proxy: Proxy | None
) -> socket.socket:
    """A connection to the server, which may lead through the tunnel of a proxy."""
    if proxy is None:
        address = guard.addresses(host, port)[0]
        return socket.create_connection((address, port), timeout=seconds)
    guard.check_literal(host, port)
    place = urlsplit(proxy.url)
    tunnel = _GuardedHTTPConnection(
        place.hostname or "", place.port or 80, guard=guard, timeout=seconds
    )
    tunnel.set_tunnel(host, port, headers=proxy.headers)
    tunnel.connect()
    return tunnel.sock


@lru_cache(maxsize=64)
def tls_context(
    *,
    ca_pem: bytes | None = None,
    cert_pem: bytes | None = None,
    key_pem: bytes | None = None,
    verify: bool = True,
) -> ssl.SSLContext:
    """What to trust and whom to appear as, made once: reading the public authorities takes longer
    than many a call.

    ``ca_pem`` replaces the public authorities; a server's own certificate may stand in it, and is
    then all that is trusted. ``cert_pem`` with ``key_pem`` is the client's own
    certificate. Raises ConfigurationError when one of them is not a certificate or a key.
    """
    try:
        context = ssl.create_default_context(cadata=ca_pem.decode("ascii") if ca_pem else None)
        if cert_pem:
            _load_client_certificate(context, cert_pem + b"\n" + (key_pem or b""))
    except (ssl.SSLError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            Words(gettext_noop("The certificate or its key cannot be read as PEM."))
        ) from error
    if ca_pem:
        # The accepted certificate of a server is the end of its chain, although no authority.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    else:
        # A slim container may have no store of its own.
        context.load_verify_locations(certifi.where())
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _load_client_certificate(context: ssl.SSLContext, pem: bytes) -> None:
    """Give the context a certificate; the ssl module takes one from a file only."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "client.pem")
        file.touch(mode=0o600)
        file.write_bytes(pem)
        context.load_cert_chain(file)
