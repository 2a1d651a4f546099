"""From which address a request came, also when it came through a reverse proxy.

``X-Forwarded-For`` is written by whoever likes to: it is read only when the connection itself comes
from one of ``TRUSTED_PROXIES``, and from its right end, where those have added what they saw.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from django.conf import settings
from django.http import HttpRequest

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
_WITH_PORT = re.compile(r"\[([^]]*)\](?::\d+)?|([\d.]+):\d+")


def client_address(request: HttpRequest) -> str:
    """The nearest address that is none of a trusted proxy; empty where there is none at all."""
    trusted = trusted_networks(tuple(settings.TRUSTED_PROXIES))
    # Without its scope, which means something on this machine only.
    nearest = read_address(request.META.get("REMOTE_ADDR", "").partition("%")[0])
    if nearest is None:
        return ""
    if not _is_in(nearest, trusted):
        return str(nearest)
    forwarded: str = request.META.get("HTTP_X_FORWARDED_FOR", "")
    for hop in reversed(forwarded.split(",")):
        address = read_address(hop)
        if address is None:
            # The trusted one before said nothing that can be read, so no more is known.
            break
        nearest = address
        if not _is_in(address, trusted):
            break
    return str(nearest)


@lru_cache(maxsize=1024)
def read_address(text: str) -> Address | None:
    """The address in ``text``, which some proxies write with a port; None for anything else."""
    text = text.strip()
    with_port = _WITH_PORT.fullmatch(text)
    try:
        address = ip_address(with_port[1] or with_port[2] if with_port else text)
    except ValueError:
        return None
    if isinstance(address, IPv4Address):
        return address
    # A scope means something on one machine only, and no database takes it for an address.
    return None if address.scope_id else address.ipv4_mapped or address


@lru_cache(maxsize=4)
def trusted_networks(written: tuple[str, ...]) -> tuple[Network, ...]:
    """The networks as they are written in the settings. Raises ValueError for what is none."""
    return tuple(ip_network(each.strip(), strict=False) for each in written)


def _is_in(address: Address, networks: Iterable[Network]) -> bool:
    return any(address in network for network in networks)
