"""From which address a request came, whatever its headers claim."""

from __future__ import annotations

import pytest
from django.test import RequestFactory
from pytest_django.fixtures import Settings

from codestream.core.checks import check_trusted_proxies
from codestream.core.client_address import client_address

PROXY, CLIENT = "10.0.0.2", "203.0.113.9"


def address(peer: str, forwarded: str | None = None) -> str:
    headers = {} if forwarded is None else {"X-Forwarded-For": forwarded}
    return client_address(RequestFactory().get("/", headers=headers, REMOTE_ADDR=peer))


def test_nobody_is_believed_without_the_setting(settings: Settings) -> None:
    settings.TRUSTED_PROXIES = []

    assert address(PROXY, CLIENT) == PROXY
    assert address("127.0.0.1", CLIENT) == "127.0.0.1"


def test_a_stranger_is_not_believed(settings: Settings) -> None:
    settings.TRUSTED_PROXIES = ["10.0.0.0/8"]

    assert address(CLIENT, "198.51.100.1") == CLIENT


@pytest.mark.parametrize(
    ("forwarded", "expected"),
    [
        (CLIENT, CLIENT),
        (f"198.51.100.1, {CLIENT}", CLIENT),
        (f"198.51.100.1, {CLIENT}, 10.0.0.3", CLIENT),
        (f"10.0.0.9, {CLIENT}, 10.0.0.3", CLIENT),
        (f"{CLIENT}:55123", CLIENT),
        (f"::ffff:{CLIENT}", CLIENT),
        ("2001:db8::7", "2001:db8::7"),
        ("[2001:db8::7]:443", "2001:db8::7"),
        ("10.0.0.9, 10.0.0.3", "10.0.0.9"),
    ],
)
def test_a_trusted_proxy_tells_where_it_came_from(
    settings: Settings, forwarded: str, expected: str
) -> None:
    settings.TRUSTED_PROXIES = ["10.0.0.0/8"]

    assert address(PROXY, forwarded) == expected


@pytest.mark.parametrize(
    "forwarded",
    [
        None,
        "",
        ",,,",
        "unknown",
        f"{CLIENT}, not-an-address",
        f"{CLIENT}, <script>",
        f"{CLIENT}, 127.1",
        f"{CLIENT}, 010.0.0.1",
        f"{CLIENT}, fe80::1%eth0",
        f"{CLIENT}, [2001:db8::7",
        f"{CLIENT}, 2001:db8::7:",
        f"{CLIENT},",
        "9" * 5000,
    ],
)
def test_what_cannot_be_read_ends_the_search(settings: Settings, forwarded: str | None) -> None:
    settings.TRUSTED_PROXIES = [PROXY]

    assert address(PROXY, forwarded) == PROXY


@pytest.mark.parametrize(
    ("peer", "expected"),
    [
        ("", ""),
        ("/run/web.sock", ""),
        ("::ffff:10.0.0.2", CLIENT),
        ("fe80::1%eth0", "fe80::1"),
        ("2001:db8::7", "2001:db8::7"),
    ],
)
def test_a_connection_without_an_address_of_its_own(
    settings: Settings, peer: str, expected: str
) -> None:
    settings.TRUSTED_PROXIES = [PROXY]

    assert address(peer, CLIENT) == expected


def test_a_proxy_that_is_no_address_is_named_at_start(settings: Settings) -> None:
    settings.TRUSTED_PROXIES = [PROXY, "proxy.internal"]

    (problem,) = check_trusted_proxies(None)

    assert "proxy.internal" in problem.msg
    settings.TRUSTED_PROXIES = [PROXY, "2001:db8::/32"]
    assert check_trusted_proxies(None) == []
