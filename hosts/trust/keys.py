"""Public keys, and the identities that follow from them. All keys are ECDSA P-256."""

import hashlib
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

HOST_URI: Final = "urn:virshmanager:host:"
HOST_DOMAIN: Final = ".host.virshmanager.internal"


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def key_to_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def key_from_pem(data: bytes) -> ec.EllipticCurvePrivateKey:
    """Read a private key of ours.

    Raises:
        ValueError: when it is no P-256 key.
    """
    key = serialization.load_pem_private_key(data, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("no elliptic curve key")
    return key


def spki(key: ec.EllipticCurvePublicKey) -> bytes:
    """Return the SubjectPublicKeyInfo of a public key in DER (RFC 5280, 4.1.2.7)."""
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def fingerprint(key: ec.EllipticCurvePublicKey) -> str:
    """Return the SHA-256 of a public key, hex: how a key is pinned, and shown to people."""
    return hashlib.sha256(spki(key)).hexdigest()


def certificate_fingerprint(certificate: x509.Certificate) -> str:
    """Return the SHA-256 of a certificate, hex: how an authority is named."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def certificate_key(der: bytes) -> ec.EllipticCurvePublicKey:
    """Return the public key of a certificate in DER.

    Raises:
        ValueError: when it is no certificate, or not for a P-256 key, the only kind that the protocol knows.
    """
    return _p256(lambda: x509.load_der_x509_certificate(der).public_key())


@dataclass(frozen=True)
class SigningRequest:
    """A request for a certificate that the holder of `key` signed (PKCS #10, RFC 2986)."""

    request: x509.CertificateSigningRequest
    key: ec.EllipticCurvePublicKey

    @property
    def pem(self) -> bytes:
        return self.request.public_bytes(serialization.Encoding.PEM)

    @property
    def der(self) -> bytes:
        return self.request.public_bytes(serialization.Encoding.DER)


def signing_request(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return a request for a certificate of our own key, in PEM, without a name: none would be granted."""
    builder = x509.CertificateSigningRequestBuilder(x509.Name([]))
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def read_request(pem: bytes) -> SigningRequest:
    """Read a request for a certificate, in PEM.

    Raises:
        ValueError: when it is none, not for a P-256 key, or its key did not sign it.
    """
    try:
        request = x509.load_pem_x509_csr(pem)
    except x509.InvalidVersion as error:
        raise ValueError("no request") from error
    key = _p256(request.public_key)
    if not request.is_signature_valid:
        raise ValueError("a request that its key did not sign")
    return SigningRequest(request, key)


def _p256(read: Callable[[], CertificatePublicKeyTypes]) -> ec.EllipticCurvePublicKey:
    try:
        key = read()
    # What a stranger shows may be of any version, and for a key of any kind: neither is a ValueError.
    except (UnsupportedAlgorithm, x509.InvalidVersion) as error:
        raise ValueError("no certificate that could be read") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ValueError("no ECDSA P-256 key")
    return key


def daemon_id(key_info: bytes) -> uuid.UUID:
    """Derive the identity of a daemon from its SubjectPublicKeyInfo: a UUID of version 8 (RFC 9562)."""
    digest = bytearray(hashlib.sha256(key_info).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x80
    digest[8] = digest[8] & 0x3F | 0x80
    return uuid.UUID(bytes=bytes(digest))


def host_name(host_id: uuid.UUID) -> str:
    """The name that TLS verifies for a host, whatever its address is."""
    return f"{host_id}{HOST_DOMAIN}"
