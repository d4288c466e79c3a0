"""A server's side of trust, for tests: a CA, the certificates it makes, and the proofs it checks."""

from __future__ import annotations

import base64
import datetime as dt
import json
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from virshmanagerd import certificates

HOUR = dt.timedelta(hours=1)


def name(text: str) -> x509.Name:
    """A subject of one word."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


@dataclass(frozen=True)
class Pair:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> str:
        """The certificate in PEM."""
        return certificates.certificate_to_pem(self.certificate)

    def save(self, path: Path) -> Path:
        """Write key and certificate to one file, as ssl wants them."""
        path.write_bytes(certificates.key_to_pem(self.key) + self.pem.encode())
        return path


@dataclass
class Authority:
    """One server with its CA."""

    server_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    secret: bytes = b"s" * 32
    key_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    key: ec.EllipticCurvePrivateKey = field(default_factory=certificates.new_key)
    called: str = "Test CA"

    def __post_init__(self) -> None:
        now = certificates.now()
        subject = name(self.called)
        self.certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 100 * HOUR)
            .not_valid_after(now + 100 * HOUR)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self.key, hashes.SHA256())
        )
        self.pem = certificates.certificate_to_pem(self.certificate)

    def sign(
        self,
        public_key: ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey,
        names: list[x509.GeneralName],
        usages: list[x509.ObjectIdentifier],
        *,
        start: dt.timedelta = -HOUR,
        end: dt.timedelta = HOUR,
    ) -> x509.Certificate:
        """Make a certificate; ``start`` and ``end`` are relative to now."""
        now = certificates.now()
        builder = (
            x509.CertificateBuilder()
            .subject_name(name("leaf"))
            .issuer_name(self.certificate.subject)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + start)
            .not_valid_after(now + end)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
        )
        if usages:
            builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        return builder.sign(self.key, hashes.SHA256())

    def server(
        self,
        server_id: str | None = None,
        usages: list[x509.ObjectIdentifier] | None = None,
        **period: dt.timedelta,
    ) -> Pair:
        """A client certificate of the server."""
        key = certificates.new_key()
        names: list[x509.GeneralName] = [
            x509.UniformResourceIdentifier(certificates.SERVER_URI + (server_id or self.server_id))
        ]
        wanted = [ExtendedKeyUsageOID.CLIENT_AUTH] if usages is None else usages
        return Pair(self.sign(key.public_key(), names, wanted, **period), key)

    def host(self, key: ec.EllipticCurvePublicKey, **period: dt.timedelta) -> x509.Certificate:
        """A host certificate as the server makes it."""
        names = list(certificates.host_names(certificates.host_id(key)))
        return self.sign(key, names, [ExtendedKeyUsageOID.SERVER_AUTH], **period)

    def join_file(self, **changes: Any) -> dict[str, Any]:
        """The content of join.json."""
        return {
            "version": 1,
            "key_id": self.key_id,
            "secret": base64.b64encode(self.secret).decode(),
            "ca": self.pem,
            "expires_at": f"{certificates.now() + HOUR:%Y-%m-%dT%H:%M:%SZ}",
            **changes,
        }

    def drop(self, path: Path, mode: int = 0o600, **changes: Any) -> None:
        """Put join.json on a host."""
        temporary = path.with_suffix(".new")
        temporary.write_text(json.dumps(self.join_file(**changes)))
        temporary.chmod(mode)
        temporary.rename(path)
