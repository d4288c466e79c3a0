"""Keys and certificates: what the daemon shows, what it asks for, what it reads of a client.

All keys are ECDSA P-256 and all signatures use SHA-256. Times are UTC.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from collections.abc import Iterable

HOST_URI = "urn:virshmanager:host:"
SERVER_URI = "urn:virshmanager:server:"
HOST_DOMAIN = ".host.virshmanager.internal"
SELF_SIGNED_FOR = dt.timedelta(days=3650)
BACKDATED = dt.timedelta(hours=1)


# What the library raises for a certificate that only looks like one; mostly not before the part is read.
UNREADABLE = (
    ValueError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)

Extension = TypeVar("Extension", bound=x509.ExtensionType)


class CertificateError(Exception):
    """A certificate or key that cannot be used; the text says why."""


def now() -> dt.datetime:
    """Return the time by which certificates and join keys are judged."""
    return dt.datetime.now(dt.timezone.utc)


def spki(key: ec.EllipticCurvePublicKey) -> bytes:
    """Return the SubjectPublicKeyInfo of ``key`` in DER."""
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def host_id(key: ec.EllipticCurvePublicKey) -> str:
    """Derive the daemon's id from its public key: a version 8 UUID (RFC 9562) of its SHA-256."""
    digest = bytearray(hashlib.sha256(spki(key)).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x80
    digest[8] = digest[8] & 0x3F | 0x80
    return str(uuid.UUID(bytes=bytes(digest)))


def new_key() -> ec.EllipticCurvePrivateKey:
    """Make a host key."""
    return ec.generate_private_key(ec.SECP256R1())


def key_to_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return ``key`` as PKCS #8 in PEM, not encrypted."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def key_from_pem(data: bytes) -> ec.EllipticCurvePrivateKey:
    """Read a host key.

    Raises:
        CertificateError: when it is no P-256 key.
    """
    try:
        key = serialization.load_pem_private_key(data, password=None)
    except (ValueError, TypeError) as error:
        raise CertificateError(f"this is no private key: {error}") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise CertificateError("the key is not ECDSA P-256")
    return key


def certificate_from_pem(text: str) -> x509.Certificate:
    """Read one certificate.

    Raises:
        CertificateError: when ``text`` is no certificate in PEM.
    """
    try:
        return x509.load_pem_x509_certificate(text.encode())
    except UNREADABLE:
        raise CertificateError("this is no certificate in PEM") from None


def authorities_from_pem(text: str) -> tuple[x509.Certificate, ...]:
    """Read the certificates of one authority or more, one after the other.

    Raises:
        CertificateError: when ``text`` holds none, or anything that is none.
    """
    try:
        return tuple(x509.load_pem_x509_certificates(text.encode()))
    except UNREADABLE:
        raise CertificateError("these are no certificates in PEM") from None


def issuer_of(
    certificate: x509.Certificate, authorities: Iterable[x509.Certificate]
) -> x509.Certificate | None:
    """Return the authority that signed ``certificate`` itself, or None."""
    for authority in authorities:
        try:
            certificate.verify_directly_issued_by(authority)
        except (*UNREADABLE, TypeError, InvalidSignature):
            continue
        return authority
    return None


def certificate_to_pem(certificate: x509.Certificate) -> str:
    """Return ``certificate`` in PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def public_key(certificate: x509.Certificate) -> ec.EllipticCurvePublicKey:
    """Return the key that ``certificate`` is for.

    Raises:
        CertificateError: when it is not an ECDSA key.
    """
    try:
        key = certificate.public_key()
    except UNREADABLE:
        raise CertificateError("its key cannot be read") from None
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise CertificateError("its key is not ECDSA")
    return key


def fingerprint(certificate: x509.Certificate) -> bytes:
    """Return the SHA-256 of the certificate in DER."""
    return certificate.fingerprint(hashes.SHA256())


def host_names(daemon_id: str) -> x509.SubjectAlternativeName:
    """Return the names that a host's certificate carries, and no others."""
    return x509.SubjectAlternativeName(
        [x509.UniformResourceIdentifier(HOST_URI + daemon_id), x509.DNSName(daemon_id + HOST_DOMAIN)]
    )


def subject(daemon_id: str) -> x509.Name:
    """Return the subject of the host's certificates and requests."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, daemon_id)])


def self_signed(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    """Make the certificate that an unclaimed host shows: it proves its key, and nothing else."""
    name = subject(host_id(key.public_key()))
    start = now() - BACKDATED
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + SELF_SIGNED_FOR)
        .add_extension(host_names(host_id(key.public_key())), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )


def signing_request(key: ec.EllipticCurvePrivateKey) -> x509.CertificateSigningRequest:
    """Make the request for an owner's certificate. The owner takes the public key from it, no more."""
    name = host_id(key.public_key())
    return (
        x509.CertificateSigningRequestBuilder()
        .subject_name(subject(name))
        .add_extension(host_names(name), critical=False)
        .sign(key, hashes.SHA256())
    )


def usages(certificate: x509.Certificate) -> list[x509.ObjectIdentifier]:
    """Return the extended key usages of ``certificate``, in its order.

    Raises:
        CertificateError: when its extensions cannot be read.
    """
    return list(_extension(certificate, x509.ExtendedKeyUsage) or ())


def alternative_names(certificate: x509.Certificate) -> list[x509.GeneralName]:
    """Return the subject alternative names of ``certificate``.

    Raises:
        CertificateError: when its extensions cannot be read.
    """
    return list(_extension(certificate, x509.SubjectAlternativeName) or ())


def _extension(certificate: x509.Certificate, kind: type[Extension]) -> Extension | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None
    except UNREADABLE:
        raise CertificateError("its extensions cannot be read") from None


@dataclass(frozen=True)
class PeerCertificate:
    """What counts of a client's certificate. That it chains to an authority is TLS's verdict.

    ``authority`` is the fingerprint of the one that signed it; of several, one may leave before the others.
    """

    fingerprint: bytes
    authority: bytes
    server_id: str | None
    only_client: bool
    not_before: dt.datetime
    not_after: dt.datetime

    @classmethod
    def from_der(cls, der: bytes, authorities: Iterable[x509.Certificate]) -> PeerCertificate:
        """Read a client certificate that TLS has verified against these authorities.

        Raises:
            CertificateError: when it cannot be read.
        """
        try:
            certificate = x509.load_der_x509_certificate(der)
        except UNREADABLE:
            raise CertificateError("this is no certificate") from None
        names, purposes = alternative_names(certificate), usages(certificate)
        authority = issuer_of(certificate, authorities)
        if authority is None:
            raise CertificateError("it is not signed by an authority itself")
        return cls(
            fingerprint=fingerprint(certificate),
            authority=fingerprint(authority),
            server_id=_server_id(names),
            only_client=purposes == [ExtendedKeyUsageOID.CLIENT_AUTH],
            not_before=certificate.not_valid_before_utc,
            not_after=certificate.not_valid_after_utc,
        )

    def server(self, at: dt.datetime) -> str | None:
        """Return the id of the server that this certificate stands for at a time, or None for none."""
        if self.only_client and self.not_before <= at <= self.not_after:
            return self.server_id
        return None


def _server_id(names: list[x509.GeneralName]) -> str | None:
    found = [
        name.value.removeprefix(SERVER_URI)
        for name in names
        if isinstance(name, x509.UniformResourceIdentifier) and name.value.startswith(SERVER_URI)
    ]
    return found[0] if len(found) == 1 and found[0] else None
