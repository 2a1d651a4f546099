"""A certificate authority for one run of a cluster, and the certificates it signs."""

from __future__ import annotations

import ipaddress
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from tempfile import NamedTemporaryFile

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFE = timedelta(days=7)
SERVER_NAMES = [
    x509.DNSName("localhost"),
    x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A certificate with its key, both in PEM."""

    certificate: bytes
    key: bytes


class Authority:
    """Signs certificates for the API server and for people."""

    def __init__(self) -> None:
        self._key = _new_key()
        self._name = _name("codestream-tests")

    @cached_property
    def certificate(self) -> bytes:
        """The authority's own certificate."""
        constraint = x509.BasicConstraints(ca=True, path_length=0)
        builder = self._builder(self._name, self._key).add_extension(constraint, critical=True)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def server(self) -> Identity:
        """A certificate for a server on loopback."""
        return self._sign(
            _name("127.0.0.1"),
            (x509.SubjectAlternativeName(SERVER_NAMES), False),
            (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
        )

    def person(self, name: str, group: str) -> Identity:
        """A certificate that signs a user of a group in."""
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
        return self._sign(_name(name, group), (usage, False))

    def _sign(self, subject: x509.Name, *extensions: tuple[x509.ExtensionType, bool]) -> Identity:
        key = _new_key()
        builder = self._builder(subject, key)
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical=critical)
        signed = builder.sign(self._key, hashes.SHA256())
        return Identity(
            certificate=signed.public_bytes(serialization.Encoding.PEM),
            key=_pem(key),
        )

    def _builder(self, subject: x509.Name, key: rsa.RSAPrivateKey) -> x509.CertificateBuilder:
        start = datetime.now(UTC) - timedelta(minutes=5)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(start + LIFE)
        )


def server_context(identity: Identity, *, client_ca: bytes = b"") -> ssl.SSLContext:
    """How a server appears; certificates of clients are asked for where ``client_ca`` is given."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with NamedTemporaryFile(suffix=".pem") as file:
        file.write(identity.certificate + b"\n" + identity.key)
        file.flush()
        context.load_cert_chain(file.name)
    if client_ca:
        context.load_verify_locations(cadata=client_ca.decode())
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


def signing_key() -> bytes:
    """A key for the tokens of service accounts, in PEM."""
    return _pem(_new_key())


def _new_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _pem(key: rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )


def _name(common: str, group: str = "") -> x509.Name:
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, common)]
    if group:
        parts.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, group))
    return x509.Name(parts)
