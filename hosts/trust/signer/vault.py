"""The key of the authority on the disk: sealed by a master key that comes from the environment or a file.

Each failure is a VaultError, whose text tells a person in one line what to do.
"""

import logging
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from .. import files, keys, sealing
from .issuer import Issuer, self_signed
from .succession import Succession

MASTER_KEY: Final = "VIRSHMANAGER_MASTER_KEY"
MASTER_KEY_FILE: Final = "VIRSHMANAGER_MASTER_KEY_FILE"
SHORTEST: Final = 20
PURPOSE: Final = b"ca.key"
HELP: Final = "docs/trust.md, “A lost key”, says what else can be done."

logger = logging.getLogger(__name__)


class VaultError(Exception):
    """The key cannot be had."""


class KeptSuccession(Succession):
    """The authorities kept in a folder: `ca.key` and `ca.pem`, and `next.key` and `next.pem`."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        """Open what is there, and make the present authority the first time. Raises VaultError."""
        self._folder, self._environment = folder, dict(environment)
        key, certificate = folder / "next.key", folder / "next.pem"
        if certificate.exists() and not key.exists():
            certificate.replace(folder / "ca.pem")  # a crash came between the two steps of `_install`
        following = self._make() if key.exists() else None
        super().__init__(open_issuer(folder, environment), following)

    def _make(self) -> Issuer:
        return open_issuer(self._folder, self._environment, "next")

    def _install(self) -> None:
        for suffix in ("key", "pem"):
            (self._folder / f"next.{suffix}").replace(self._folder / f"ca.{suffix}")


def open_issuer(folder: Path, environment: Mapping[str, str], name: str = "ca") -> Issuer:
    """Return the authority kept in `folder`, made and sealed the first time. Raises VaultError."""
    sealed, certificate = folder / f"{name}.key", folder / f"{name}.pem"
    if certificate.exists() and not sealed.exists():
        raise VaultError(f"{certificate} is there, and its key {sealed} is gone: restore a backup. {HELP}")
    master = _master_key(folder, environment, needed=_is_sealed(sealed))
    key = _key(sealed, master)
    pem = files.make_once(certificate, lambda: self_signed(key).public_bytes(Encoding.PEM))
    return Issuer(key, _of_this_key(key, pem, certificate))


def _master_key(folder: Path, environment: Mapping[str, str], *, needed: bool) -> str:
    text, path = environment.get(MASTER_KEY, ""), environment.get(MASTER_KEY_FILE, "")
    if text and path:
        raise VaultError(f"{MASTER_KEY} and {MASTER_KEY_FILE} are both set: keep one of them.")
    if path:
        text = _read(Path(path))
    if not text:
        text = _own_master_key(folder / "master.key", needed=needed)
    if len(text) < SHORTEST:
        raise VaultError(f"The master key must have at least {SHORTEST} characters, not {len(text)}.")
    return text


def _read(path: Path) -> str:
    try:
        text = path.read_text().strip()
        if path.stat().st_mode & 0o077:
            logger.warning("%s can be read by other users: chmod 600", path)
    except (OSError, UnicodeDecodeError) as error:
        raise VaultError(f"{MASTER_KEY_FILE}: {path} cannot be read: {error}.") from None
    if not text:
        raise VaultError(f"{MASTER_KEY_FILE}: {path} is empty.")
    return text


def _own_master_key(path: Path, *, needed: bool) -> str:
    """Nobody gave one: it lies beside what it seals, made the first time."""
    if needed and not path.exists():
        raise VaultError(
            f"The key of the authority is sealed, and no master key is here: set {MASTER_KEY} or "
            f"{MASTER_KEY_FILE} as before, or put {path} back. {HELP}"
        )
    return files.make_once(path, lambda: secrets.token_urlsafe(32).encode()).decode().strip()


def _is_sealed(path: Path) -> bool:
    return path.exists() and sealing.is_sealed(path.read_bytes())


def _key(path: Path, master: str) -> ec.EllipticCurvePrivateKey:
    content = files.make_once(path, lambda: _seal(keys.key_to_pem(keys.new_key()), master))
    if sealing.is_sealed(content):
        return _opened(content, path, master)
    try:
        key = keys.key_from_pem(content)
    except ValueError:
        raise VaultError(f"{path} holds no key: restore a backup. {HELP}") from None
    files.replace(path, _seal(content, master))
    logger.warning("%s was not sealed, and is now; destroy the copies of it that are not", path)
    return key


def _seal(pem: bytes, master: str) -> bytes:
    return sealing.seal(pem, master, purpose=PURPOSE)


def _opened(content: bytes, path: Path, master: str) -> ec.EllipticCurvePrivateKey:
    try:
        return keys.key_from_pem(sealing.unseal(content, master, purpose=PURPOSE))
    except ValueError:
        raise VaultError(
            f"The master key does not open {path}: it was sealed by another one, or is damaged. "
            f"Set {MASTER_KEY} or {MASTER_KEY_FILE} as before, or restore a backup. {HELP}"
        ) from None


def _of_this_key(key: ec.EllipticCurvePrivateKey, pem: bytes, path: Path) -> x509.Certificate:
    try:
        certificate = x509.load_pem_x509_certificate(pem)
    except ValueError:
        raise VaultError(f"{path} holds no certificate: restore a backup. {HELP}") from None
    if certificate.public_key() != key.public_key():
        raise VaultError(f"{path} is not of the key beside it: restore a backup. {HELP}")
    return certificate
