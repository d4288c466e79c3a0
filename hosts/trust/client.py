"""Who this server is to its hosts: its id, and a client certificate of 7 days, renewed by itself."""

import fcntl
import logging
import os
import ssl
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from . import files, keys
from .asking import SigningError
from .authority import Authority

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ClientIdentity:
    """The server's client certificate, and the authority that signed it and its hosts.

    `file` holds key and certificate in PEM. A context keeps the certificate that it was made with, also after
    a renewal: what must come over one certificate uses one context.
    """

    server_id: uuid.UUID
    certificate: x509.Certificate
    authority: Authority
    file: Path

    @cached_property
    def fingerprint(self) -> str:
        return keys.certificate_fingerprint(self.certificate)

    @cached_property
    def terms(self) -> str:
        """Names what a context is made of: who is shown, and who is believed."""
        return self.fingerprint + self.authority.bundle

    def needs_renewal(self, now: datetime) -> bool:
        """True past half of its life; also before its life, when the clock was set back.

        And when its authority was followed by another one, while hosts believe both.
        """
        start, end = self.certificate.not_valid_before_utc, self.certificate.not_valid_after_utc
        return now < start or now > start + (end - start) / 2 or not self.authority.issued(self.certificate)

    def is_valid(self, now: datetime) -> bool:
        return self.certificate.not_valid_before_utc <= now <= self.certificate.not_valid_after_utc

    def owned_context(self) -> ssl.SSLContext:
        """TLS towards owned hosts: our authorities alone, our certificate, the host's name verified."""
        context = tls_context()
        context.check_hostname = True
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=self.authority.bundle)
        context.load_cert_chain(self.file)
        return context

    def introducing_context(self) -> ssl.SSLContext:
        """TLS that shows our certificate to a peer whose own proves nothing yet."""
        context = stranger_context()
        context.load_cert_chain(self.file)
        return context


def tls_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context


def stranger_context() -> ssl.SSLContext:
    """TLS towards strangers: only the key in their handshake is believed."""
    context = tls_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def load(folder: Path, authority: Authority) -> ClientIdentity:
    """Return the server's identity in `folder`, made or renewed when that is due.

    Processes renew in turn: who comes second finds the work done. While nothing can be signed, a certificate
    that is still valid goes on.

    Raises:
        SigningError: when there is none that is valid, and none can be signed.
    """
    server_id = uuid.UUID(files.make_once(folder / "server_id", lambda: str(uuid.uuid4()).encode()).decode())
    path = folder / "server.pem"
    current = _read(path, server_id, authority)
    if current is not None and not current.needs_renewal(datetime.now(UTC)):
        return current
    with _turn(folder / "server.lock"):
        current = _read(path, server_id, authority)
        if current is not None and not current.needs_renewal(datetime.now(UTC)):
            return current
        try:
            return _renewed(path, server_id, authority)
        except SigningError as error:
            if current is None or not current.is_valid(datetime.now(UTC)):
                raise
            logger.warning("The server's own certificate is not renewed: %s", error)
            return current


def _renewed(path: Path, server_id: uuid.UUID, authority: Authority) -> ClientIdentity:
    key = keys.new_key()
    certificate = authority.sign_server(keys.signing_request(key), server_id)
    files.replace(path, keys.key_to_pem(key) + certificate.public_bytes(serialization.Encoding.PEM))
    return ClientIdentity(server_id, certificate, authority, path)


def _read(path: Path, server_id: uuid.UUID, authority: Authority) -> ClientIdentity | None:
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    if not authority.believes(certificate):
        return None
    return ClientIdentity(server_id, certificate, authority, path)


@contextmanager
def _turn(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
