"""The arithmetic of enrolment, without state: what both ends compute, and what a host accepts.

``fields`` joins values so that no two lists of values look alike; ``context`` binds a proof to both
ends, both nonces, the key that the host shows in TLS, and the CA that will own it.
"""

from __future__ import annotations

import hashlib
import hmac
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.x509.oid import ExtendedKeyUsageOID

from virshmanagerd import certificates, tls
from virshmanagerd.certificates import CertificateError

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable

    from virshmanagerd.identity import Identity

NONCE_BYTES = 32
SECRET_BYTES = 32
PROOF_BYTES = 32

# Fixed by the protocol, and never taken from the peer. Python must be allowed more than its 32 MiB for them.
SCRYPT = {"n": 2**15, "r": 8, "p": 1, "dklen": 32, "maxmem": 64 * 2**20}


def fields(*values: bytes) -> bytes:
    """Concatenate values, each after its length in 4 bytes, big-endian."""
    return b"".join(len(value).to_bytes(4, "big") + value for value in values)


def join_key(secret: bytes) -> bytes:
    """Derive the key of the proofs from a join key's secret (HKDF-SHA256, RFC 5869)."""
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=b"", info=b"virshmanager join 1").derive(secret)


def adopt_key(code: str, salt: bytes) -> bytes:
    """Derive the key of the proofs from an adopt code of ten characters (scrypt, RFC 7914): 0.1 s, 32 MiB."""
    return hashlib.scrypt(code.encode(), salt=salt, **SCRYPT)


@dataclass(frozen=True)
class Context:
    """What a proof is bound to. ``host_spki`` and ``ca_spki`` are SHA-256 digests of public keys."""

    method: str
    server_id: str
    daemon_id: str
    server_nonce: bytes
    daemon_nonce: bytes
    host_spki: bytes
    ca_spki: bytes

    def encode(self) -> bytes:
        """Return the bytes that go into a proof."""
        return fields(
            b"virshmanager-enrol-1",
            self.method.encode(),
            self.server_id.encode(),
            self.daemon_id.encode(),
            self.server_nonce,
            self.daemon_nonce,
            self.host_spki,
            self.ca_spki,
        )


def host_proof(key: bytes, context: Context, csr_der: bytes) -> bytes:
    """Return the host's proof: it knows the key, and asks for this certificate."""
    message = fields(b"host") + context.encode() + fields(hashlib.sha256(csr_der).digest())
    return hmac.new(key, message, "sha256").digest()


def server_proof(key: bytes, context: Context) -> bytes:
    """Return the proof of a server that knows the adopt code."""
    return hmac.digest(key, fields(b"server") + context.encode(), "sha256")


def finish_proof(key: bytes, context: Context, certificate_der: bytes, ca_der: bytes) -> bytes:
    """Return the proof that the server which knew the adopt code is also who finishes."""
    digests = [hashlib.sha256(der).digest() for der in (certificate_der, ca_der)]
    return hmac.digest(key, fields(b"finish") + context.encode() + fields(*digests), "sha256")


def usable_ca(text: str) -> x509.Certificate:
    """Read the certificate (PEM) of a CA that may own this host.

    Raises:
        CertificateError: when it is none, is not ECDSA, or TLS does not take it.
    """
    certificate = certificates.certificate_from_pem(text)
    ca_spki(certificate)
    try:
        tls.check_ca(certificates.certificate_to_pem(certificate))
    except ssl.SSLError as error:
        raise CertificateError(f"TLS does not take it: {error}") from None
    return certificate


def ca_spki(ca: x509.Certificate) -> bytes:
    """Return the SHA-256 of the CA's public key.

    Raises:
        CertificateError: when it is not an ECDSA key.
    """
    return hashlib.sha256(certificates.spki(certificates.public_key(ca))).digest()


def check_host_certificate(
    certificate: x509.Certificate, cas: Iterable[x509.Certificate], identity: Identity, at: dt.datetime
) -> None:
    """Accept a certificate that one of ``cas`` made for this host: its key, its names, its use, valid now.

    Raises:
        CertificateError: with the first thing that is wrong.
    """
    if certificates.issuer_of(certificate, cas) is None:
        raise CertificateError("the certificate is not signed by the proven CA")
    if certificates.public_key(certificate) != identity.key.public_key():
        raise CertificateError("the certificate is for another key")
    if not certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc:
        raise CertificateError(
            f"the certificate is not valid now: the clock of this host says {at:%F %T} UTC"
        )
    _check_extensions(certificate, identity.id)


def _check_extensions(certificate: x509.Certificate, daemon_id: str) -> None:
    if set(certificates.alternative_names(certificate)) != set(certificates.host_names(daemon_id)):
        raise CertificateError("the certificate does not carry exactly the names of this host")
    if certificates.usages(certificate) != [ExtendedKeyUsageOID.SERVER_AUTH]:
        raise CertificateError("the certificate is not for servers only")
