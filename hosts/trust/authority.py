"""The manager's own certificate authority, as all processes know it: its certificate, and who signs for it.

Its private key is the signer's alone (`signer/`).
"""

from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from . import asking, files, keys
from .asking import SigningError


@dataclass(frozen=True)
class Authority:
    """The certificate of a CA, and the socket of its signer."""

    certificate: x509.Certificate
    signer: Path

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def spki(self) -> bytes:
        key = self.certificate.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)  # noqa: S101 -- the signer makes no other
        return keys.spki(key)

    def issued(self, certificate: x509.Certificate) -> bool:
        """Whether this CA signed `certificate`, whatever its dates are."""
        try:
            certificate.verify_directly_issued_by(self.certificate)
        except (ValueError, TypeError, InvalidSignature):
            return False
        return True

    def sign_host(self, csr: bytes) -> x509.Certificate:
        """Have the certificate signed of the host whose key signed this request, in PEM.

        Raises:
            SigningError: when the signer does not answer, or refuses.
        """
        return self._ours(asking.ask(self.signer, "host", csr=csr.decode()))

    def sign_server(self, csr: bytes, server_id: UUID) -> x509.Certificate:
        """Have the certificate signed that this server shows to its hosts. Raises SigningError."""
        return self._ours(asking.ask(self.signer, "server", csr=csr.decode(), server_id=str(server_id)))

    def _ours(self, certificate: x509.Certificate) -> x509.Certificate:
        if not self.issued(certificate):
            raise SigningError("other_authority")
        return certificate


def load(folder: Path, signer: Path) -> Authority:
    """Return the authority kept in `folder`, asked of the signer the first time. Raises SigningError."""
    pem = files.make_once(
        folder / "ca.pem",
        lambda: asking.ask(signer, "authority").public_bytes(serialization.Encoding.PEM),
    )
    return Authority(x509.load_pem_x509_certificate(pem), signer)
