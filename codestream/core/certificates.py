"""Reads what a person has to see of a server's certificate before trusting it. Pure."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from codestream.core.errors import CodeStreamError
from codestream.core.words import Words, gettext_noop


class CertificateUnreadable(CodeStreamError):
    """The server's certificate is not one that can be read."""

    code = "certificate_unreadable"


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateFacts:
    """A certificate in words. ``fingerprint`` is its SHA-256, ``AB:CD:…``; ``data`` base64 PEM."""

    fingerprint: str
    subject: str
    issuer: str
    names: tuple[str, ...]
    valid_from: datetime
    valid_until: datetime
    data: str

    def is_valid_at(self, moment: datetime) -> bool:
        """Whether the moment lies within its validity."""
        return self.valid_from <= moment <= self.valid_until


def read_certificate(der: bytes) -> CertificateFacts:
    """The facts of a certificate in DER. Raises CertificateUnreadable."""
    try:
        certificate = x509.load_der_x509_certificate(der)
        return CertificateFacts(
            fingerprint=certificate.fingerprint(SHA256()).hex(":").upper(),
            subject=certificate.subject.rfc4514_string(),
            issuer=certificate.issuer.rfc4514_string(),
            names=_names(certificate),
            valid_from=certificate.not_valid_before_utc,
            valid_until=certificate.not_valid_after_utc,
            data=base64.b64encode(certificate.public_bytes(Encoding.PEM)).decode(),
        )
    except ValueError as error:
        raise CertificateUnreadable(
            Words(gettext_noop("The certificate of the server cannot be read."))
        ) from error


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    """The host names and addresses that it is good for."""
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return ()
    hosts = extension.value.get_values_for_type(x509.DNSName)
    addresses = extension.value.get_values_for_type(x509.IPAddress)
    return (*hosts, *map(str, addresses))
