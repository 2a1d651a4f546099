"""Certificates for tests: self-signed, and contexts of servers that show them."""

from __future__ import annotations

import base64
import ipaddress
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

SINCE = datetime(2020, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A self-signed certificate, no authority, with its key; both PEM."""

    certificate: bytes
    key: bytes

    @property
    def certificate_data(self) -> str:
        """Base64, as in a kubeconfig."""
        return base64.b64encode(self.certificate).decode()

    @property
    def key_data(self) -> str:
        """Base64, as in a kubeconfig."""
        return base64.b64encode(self.key).decode()

    @property
    def der(self) -> bytes:
        """The certificate in DER."""
        return ssl.PEM_cert_to_DER_cert(self.certificate.decode())


def make_identity(name: str, *, host: str = "127.0.0.1", until: datetime | None = None) -> Identity:
    """A certificate for a host, which is an IP address or a name."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(SINCE)
        .not_valid_after(until or datetime.now(UTC) + timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName([_general_name(host)]), critical=False)
        .sign(key, SHA256())
    )
    return Identity(
        certificate=certificate.public_bytes(Encoding.PEM),
        key=key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    )


def server_context(
    identity: Identity, folder: Path, *, trusting: Identity | None = None
) -> ssl.SSLContext:
    """The context of a server that shows a certificate, and may accept one of its clients."""
    file = folder / "server.pem"
    file.write_bytes(identity.certificate + identity.key)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(file)
    if trusting is not None:
        context.verify_mode = ssl.CERT_OPTIONAL
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.load_verify_locations(cadata=trusting.certificate.decode())
    return context


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
