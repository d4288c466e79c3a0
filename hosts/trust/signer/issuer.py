"""The authority with its key: it signs the server and its hosts, and nothing else.

Names, usages and dates are ours to grant: of a request only the key is taken, whose holder signed it.
"""

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from .. import keys

CA_LIFE: Final = timedelta(days=3650)
SERVER_LIFE: Final = timedelta(days=7)
HOST_LIFE: Final = timedelta(days=30)
# Clocks differ: what is signed now must already be valid on a host that is a little behind.
BACKDATED: Final = timedelta(hours=1)

SERVER_URI: Final = "urn:virshmanager:server:"


@dataclass(frozen=True)
class Issuer:
    """A CA: ECDSA P-256, 10 years, no CA below it."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def fingerprint(self) -> str:
        return keys.certificate_fingerprint(self.certificate)

    def sign_host(self, csr: bytes) -> x509.Certificate:
        """Sign the certificate of the host with the key of this request, in PEM. Raises ValueError."""
        public_key = keys.read_request(csr).key
        host_id = keys.daemon_id(keys.spki(public_key))
        names: list[x509.GeneralName] = [
            x509.UniformResourceIdentifier(f"{keys.HOST_URI}{host_id}"),
            x509.DNSName(keys.host_name(host_id)),
        ]
        return self._sign(public_key, str(host_id), names, ExtendedKeyUsageOID.SERVER_AUTH, HOST_LIFE)

    def sign_server(self, csr: bytes, server_id: uuid.UUID) -> x509.Certificate:
        """Sign the certificate that the server shows to its hosts. Raises ValueError."""
        names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(f"{SERVER_URI}{server_id}")]
        public_key = keys.read_request(csr).key
        return self._sign(public_key, str(server_id), names, ExtendedKeyUsageOID.CLIENT_AUTH, SERVER_LIFE)

    def _sign(
        self,
        public_key: ec.EllipticCurvePublicKey,
        common_name: str,
        names: list[x509.GeneralName],
        usage: x509.ObjectIdentifier,
        life: timedelta,
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        authority_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        return (
            x509.CertificateBuilder()
            .subject_name(_name(common_name))
            .issuer_name(self.certificate.subject)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - BACKDATED)
            .not_valid_after(min(now + life, self.certificate.not_valid_after_utc))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(digital_signature=True, certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
            .add_extension(authority_key, critical=False)
            .sign(self.key, hashes.SHA256())
        )


def self_signed(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    """Return the certificate of a new CA with this key."""
    name = _name(f"VirshManager {uuid.uuid4()}")
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + CA_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(digital_signature=False, certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _usage(*, digital_signature: bool, certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=certificates,
        crl_sign=certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
