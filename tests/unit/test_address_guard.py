"""Which addresses a call may go to, and what opens more of them."""

from __future__ import annotations

import pytest

from codestream.core.address_guard import AddressGuard, AddressRefused, Reach, parse_allowance
from codestream.core.errors import ConfigurationError


def guard(reach: Reach, *allow: str, answer: tuple[str, ...] = ()) -> AddressGuard:
    """A guard whose resolver knows ``answer`` for every name, and literals as they are."""
    return AddressGuard(
        reach=reach,
        allowance=parse_allowance(allow),
        resolve=lambda host, _port: answer or (host,),
    )


@pytest.mark.parametrize("reach", list(Reach))
@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("127.0.0.1", "loopback"),
        ("127.9.9.9", "loopback"),
        ("::1", "loopback"),
        ("::ffff:127.0.0.1", "loopback"),
        ("64:ff9b::127.0.0.1", "loopback"),
        ("2002:7f00:1::", "loopback"),
        ("169.254.169.254", "metadata"),
        ("::ffff:169.254.169.254", "metadata"),
        ("fd00:ec2::254", "metadata"),
        ("100.100.100.200", "metadata"),
        ("169.254.7.7", "link-local"),
        ("fe80::1", "link-local"),
        ("0.0.0.0", "unspecified"),  # noqa: S104
        ("0.1.2.3", "unspecified"),
        ("::", "unspecified"),
        ("224.0.0.1", "multicast"),
        ("ff02::1", "multicast"),
        ("255.255.255.255", "reserved"),
        ("240.0.0.1", "reserved"),
    ],
)
def test_an_inward_address_is_refused_to_every_call(
    reach: Reach, address: str, reason: str
) -> None:
    with pytest.raises(AddressRefused, match=reason):
        guard(reach).addresses(address, 80)


@pytest.mark.parametrize(
    "address", ["10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "fd12::1"]
)
def test_a_private_address_is_open_to_endpoints_only(address: str) -> None:
    assert guard(Reach.ENDPOINT).addresses(address, 443) == [address]
    with pytest.raises(AddressRefused, match="private"):
        guard(Reach.PUBLIC).addresses(address, 443)


def test_a_public_address_is_open_to_every_call() -> None:
    assert guard(Reach.PUBLIC).addresses("93.184.216.34", 443) == ["93.184.216.34"]


def test_one_refused_address_among_several_refuses_the_name() -> None:
    both = guard(Reach.ENDPOINT, answer=("93.184.216.34", "127.0.0.1"))
    with pytest.raises(AddressRefused):
        both.addresses("rebind.example.com", 80)


def test_an_allowed_place_is_open_on_its_own_port_only() -> None:
    opened = guard(Reach.ENDPOINT, "127.0.0.1:8001")

    assert opened.addresses("127.0.0.1", 8001) == ["127.0.0.1"]
    with pytest.raises(AddressRefused):
        opened.addresses("127.0.0.1", 8002)
    with pytest.raises(AddressRefused):
        opened.addresses("127.0.0.2", 8001)


def test_an_allowed_name_is_open_wherever_it_leads() -> None:
    opened = guard(Reach.PUBLIC, "Registry.local:5000", answer=("127.0.0.1",))

    assert opened.addresses("registry.LOCAL.", 5000) == ["127.0.0.1"]
    with pytest.raises(AddressRefused):
        opened.addresses("other.local", 5000)


def test_an_allowed_network_is_open_on_every_port() -> None:
    opened = guard(Reach.PUBLIC, "10.0.0.0/8", "fd00::/8")

    assert opened.addresses("10.9.8.7", 1234) == ["10.9.8.7"]
    assert opened.addresses("fd00::5", 80) == ["fd00::5"]
    with pytest.raises(AddressRefused):
        opened.addresses("192.168.0.1", 1234)


def test_a_version_6_place_is_written_in_brackets() -> None:
    assert guard(Reach.ENDPOINT, "[::1]:8001").addresses("[::1]", 8001) == ["::1"]


def test_the_refusal_names_the_place_and_the_setting_but_not_what_it_leads_to() -> None:
    with pytest.raises(AddressRefused) as refused:
        guard(Reach.PUBLIC, answer=("10.1.2.3",)).addresses("inside.example.com", 80)

    assert "OUTGOING_ALLOW=inside.example.com:80" in refused.value.user_message
    assert "10.1.2.3" not in refused.value.user_message


@pytest.mark.parametrize("entry", ["localhost", "a:b", ":80", "host:0", "host:65536", "a/b:80"])
def test_an_entry_that_is_no_place_and_no_network_is_refused_by_name(entry: str) -> None:
    with pytest.raises(ConfigurationError, match="OUTGOING_ALLOW"):
        parse_allowance((entry,))
