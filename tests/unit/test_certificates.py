"""The certificate of a server: what a person is told of it, and that it alone is then trusted."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import urllib3

from codestream.core.certificates import CertificateUnreadable, read_certificate
from codestream.core.http import (
    AddressRefused,
    Reach,
    TransportError,
    pool_manager,
    server_certificate,
)
from codestream.sandbox.http_server import HttpServer, Request, Response, text_response
from tests.certificates import Identity, make_identity, server_context


def answer(_request: Request) -> Response:
    return text_response("hello")


@pytest.fixture(scope="module")
def identity() -> Identity:
    return make_identity("kube-apiserver", host="kubernetes.example")


@pytest.fixture
def server(identity: Identity, tmp_path: Path) -> Iterator[HttpServer]:
    with HttpServer(answer, tls=server_context(identity, tmp_path)) as running:
        yield running


def place(server: HttpServer) -> str:
    return server.url.removeprefix("https://")


def get(server: HttpServer, *, ca: bytes | None, name: str = "") -> int:
    pools = pool_manager(
        Reach.ENDPOINT, ca_pem=ca, server_name=name, allow=[place(server)], read_seconds=5
    )
    return pools.request("GET", server.url).status


def test_a_certificate_is_told_in_words(identity: Identity) -> None:
    facts = read_certificate(identity.der)

    assert facts.fingerprint.replace(":", "").lower() == hashlib.sha256(identity.der).hexdigest()
    assert (facts.subject, facts.issuer) == ("CN=kube-apiserver", "CN=kube-apiserver")
    assert facts.names == ("kubernetes.example",)
    assert facts.data == identity.certificate_data


def test_its_validity_is_told() -> None:
    old = make_identity("old", until=datetime(2021, 1, 1, tzinfo=UTC))

    facts = read_certificate(old.der)

    assert facts.is_valid_at(datetime(2020, 6, 1, tzinfo=UTC))
    assert not facts.is_valid_at(datetime(2022, 1, 1, tzinfo=UTC))


def test_what_is_no_certificate_is_refused_in_words() -> None:
    with pytest.raises(CertificateUnreadable):
        read_certificate(b"no certificate")


def test_the_certificate_that_a_server_shows_is_looked_at(
    server: HttpServer, identity: Identity
) -> None:
    assert server_certificate(Reach.ENDPOINT, server.url, allow=[place(server)]) == identity.der


def test_an_accepted_certificate_is_trusted_for_its_own_name(
    server: HttpServer, identity: Identity
) -> None:
    assert get(server, ca=identity.certificate, name="kubernetes.example") == 200


@pytest.mark.parametrize(
    ("accepted", "name"),
    [("none", "kubernetes.example"), ("its own", ""), ("another", "kubernetes.example")],
)
def test_no_other_certificate_and_no_other_name_is_trusted(
    server: HttpServer, identity: Identity, accepted: str, name: str
) -> None:
    another = make_identity("kube-apiserver", host="kubernetes.example")
    ca = {"none": None, "its own": identity.certificate, "another": another.certificate}[accepted]

    with pytest.raises(urllib3.exceptions.HTTPError):
        get(server, ca=ca, name=name)


def test_a_certificate_is_not_asked_for_at_a_refused_address(server: HttpServer) -> None:
    with pytest.raises(AddressRefused):
        server_certificate(Reach.ENDPOINT, server.url, allow=[])


def test_an_address_without_tls_shows_no_certificate() -> None:
    with HttpServer(answer) as plain:
        allow = [plain.url.removeprefix("http://")]
        with pytest.raises(TransportError, match="https://"):
            server_certificate(Reach.ENDPOINT, plain.url, allow=allow)
        secure = plain.url.replace("http:", "https:")
        with pytest.raises(TransportError, match="TLS"):
            server_certificate(Reach.ENDPOINT, secure, allow=allow)


def test_a_closed_port_is_said_to_be_unreachable(identity: Identity, tmp_path: Path) -> None:
    with HttpServer(answer, tls=server_context(identity, tmp_path)) as server:
        url, allow = server.url, [place(server)]

    with pytest.raises(TransportError, match="cannot be reached"):
        server_certificate(Reach.ENDPOINT, url, allow=allow)
