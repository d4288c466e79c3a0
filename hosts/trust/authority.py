"""The manager's own certificate authority, as all processes know it: its certificate, and who signs for it.

Its private key is the signer's alone (`signer/`).
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from uuid import UUID

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from . import asking, files, keys, rotating
from .asking import SigningError


@dataclass(frozen=True)
class Authority:
    """The certificate of a CA, and the socket of its signer.

    While one CA follows another (`rotating`), hosts are also believed by the `others`. Of `former` ones only
    the pinned key counts, when a host is recovered.
    """

    certificate: x509.Certificate
    signer: Path
    others: tuple[x509.Certificate, ...] = ()
    former: tuple[x509.Certificate, ...] = ()

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def spki(self) -> bytes:
        key = self.certificate.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)  # noqa: S101 -- the signer makes no other
        return keys.spki(key)

    @cached_property
    def bundle(self) -> str:
        """The CAs by which hosts are believed, in PEM, this one first."""
        others = (each.public_bytes(serialization.Encoding.PEM).decode() for each in self.others)
        return "".join([self.pem, *others])

    @property
    def fingerprint(self) -> str:
        return keys.certificate_fingerprint(self.certificate)

    def issued(self, certificate: x509.Certificate) -> bool:
        """Whether this CA signed `certificate`, whatever its dates are."""
        return _issued(self.certificate, certificate)

    def believes(self, certificate: x509.Certificate) -> bool:
        """Whether this CA signed `certificate`, or one of the others."""
        return any(_issued(ca, certificate) for ca in (self.certificate, *self.others))

    def recovers(self, certificate: x509.Certificate) -> bool:
        """Whether a CA of ours signed `certificate`, now or before."""
        return self.believes(certificate) or any(_issued(ca, certificate) for ca in self.former)

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


def _issued(ca: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(ca)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def load(folder: Path, signer: Path) -> Authority:
    """Return the authority kept in `folder`, asked of the signer the first time. Raises SigningError."""
    pem = files.make_once(
        folder / "ca.pem",
        lambda: asking.ask(signer, "authority").public_bytes(serialization.Encoding.PEM),
    )
    certificate = x509.load_pem_x509_certificate(pem)
    followed = rotating.read(folder)
    if followed is None:
        return Authority(certificate, signer)
    others = tuple(ca for ca in followed.believed if ca != certificate)
    former = (followed.old,) if followed.left_at else ()
    return Authority(certificate, signer, others, former)
