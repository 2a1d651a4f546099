"""Decides which addresses an outgoing call may connect to.

Pure but for the name look-up, which can be replaced. The connection itself is made in
``codestream.core.http``, to exactly the addresses that were checked here.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from codestream.core.errors import CodeStreamError, ConfigurationError
from codestream.core.words import Words, gettext_noop

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network
Resolver = Callable[[str, int], Iterable[str]]

NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
THIS_NETWORK = ipaddress.IPv4Network("0.0.0.0/8")
# The metadata services that are not link-local: AWS over IPv6, Alibaba, Oracle and Azure's wire
# server. They hand out credentials to whoever asks from inside.
METADATA = frozenset(
    ipaddress.ip_address(text)
    for text in ("fd00:ec2::254", "100.100.100.200", "192.0.0.192", "168.63.129.16")
)


class Reach(StrEnum):
    """How far a call may go."""

    ENDPOINT = "endpoint"
    """To an endpoint that a project member set up: private networks are open."""
    PUBLIC = "public"
    """To a URL that a pipeline or a notification names: the public internet only."""


class AddressRefused(CodeStreamError):
    """The address is one that Codestream does not call; an administrator can open it."""

    code = "address_refused"

    def __init__(self, host: str, port: int, reason: str) -> None:
        place = _host_and_port(host, port)
        super().__init__(
            Words(
                gettext_noop(
                    "%(place)s was not called: it is %(reason)s. An administrator can allow it "
                    "with OUTGOING_ALLOW=%(place)s."
                ),
                {"place": place, "reason": Words.plain(reason)},
            )
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What OUTGOING_ALLOW opens beyond the rules: places (host and port) and networks."""

    places: frozenset[tuple[str, int]]
    networks: tuple[IPNetwork, ...]

    def opens(self, host: str, address: IPAddress, port: int) -> bool:
        """Whether the host by its name, or the address, is open on this port."""
        if {(host, port), (str(address), port)} & self.places:
            return True
        return any(address in network for network in self.networks)


@lru_cache(maxsize=64)
def parse_allowance(entries: tuple[str, ...]) -> Allowance:
    """Read entries such as ``127.0.0.1:8001``, ``10.0.0.0/8`` or ``registry.local:5000``.

    Raises ConfigurationError naming the entry that is none of these.
    """
    places = set()
    networks = []
    for entry in entries:
        if network := _network(entry):
            networks.append(network)
        else:
            places.add(_place(entry))
    return Allowance(places=frozenset(places), networks=tuple(networks))


def resolve_by_system(host: str, port: int) -> list[str]:
    """The addresses of a name as the operating system knows them. Raises socket.gaierror."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressGuard:
    """The rule for one kind of call."""

    reach: Reach
    allowance: Allowance
    resolve: Resolver = resolve_by_system

    def addresses(self, host: str, port: int) -> list[str]:
        """The addresses behind ``host``, every one of them checked, in the resolver's order.

        One refused address refuses the host: a name that sometimes leads inside is not trusted.
        Raises AddressRefused, and socket.gaierror or UnicodeError for a name without addresses.
        """
        name = host.strip("[]").rstrip(".").lower()
        found = list(dict.fromkeys(self.resolve(name, port)))
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        for text in found:
            self._check(name, ipaddress.ip_address(text), port)
        return found

    def check_literal(self, host: str, port: int) -> None:
        """Refuse an address behind a proxy; what a name means there, the proxy alone knows.

        Raises AddressRefused.
        """
        name = host.strip("[]").lower()
        with suppress(ValueError):
            self._check(name, ipaddress.ip_address(name), port)

    def _check(self, name: str, literal: IPAddress, port: int) -> None:
        address = _embedded(literal)
        if self.allowance.opens(name, address, port):
            return
        reason = _always_refused(address)
        if not reason and self.reach is Reach.PUBLIC and not address.is_global:
            reason = gettext_noop("a private address, and only public ones are open to this call")
        if reason:
            raise AddressRefused(name, port, reason)


def _always_refused(address: IPAddress) -> str:
    """Why no call of any kind goes to this address, or an empty string."""
    if address in METADATA or str(address) == "169.254.169.254":
        return gettext_noop("a cloud metadata address")
    if address.is_unspecified or address in THIS_NETWORK:
        return gettext_noop("an unspecified address")
    if address.is_loopback:
        return gettext_noop("a loopback address")
    if address.is_link_local:
        return gettext_noop("a link-local address")
    if address.is_multicast:
        return gettext_noop("a multicast address")
    return gettext_noop("a reserved address") if address.is_reserved else ""


def _embedded(address: IPAddress) -> IPAddress:
    """The IPv4 address that an IPv6 one merely wraps, else the address itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def _network(entry: str) -> IPNetwork | None:
    try:
        return ipaddress.ip_network(entry.strip(), strict=False)
    except ValueError:
        return None


def _place(entry: str) -> tuple[str, int]:
    host, _, port = entry.strip().lower().rpartition(":")
    host = host.removeprefix("[").removesuffix("]").rstrip(".")
    if not host or "/" in host or not port.isdecimal() or not 0 < int(port) < 65536:
        message = f"OUTGOING_ALLOW: {entry!r} is neither host:port nor a network like 10.0.0.0/8."
        raise ConfigurationError(message)
    return (host, int(port))


def _host_and_port(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
