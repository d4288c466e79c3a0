"""Who this host is: its key, the id that follows from it, and the machine it was made on.

The state directory holds ``host.key`` and ``identity.json``. Another machine-id than the recorded
one means that the disk was cloned: two hosts must not share an identity, so the clone makes its own.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from virshmanagerd import adoptcode, certificates, files, journal

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric import ec

    from virshmanagerd.config import Config

logger = logging.getLogger(__name__)

KEY = "host.key"
RECORD = "identity.json"
OWNER = "owner.json"
CLONED = "The machine-id is not the recorded one: this is a clone, and became a host of its own."


class IdentityError(Exception):
    """The identity cannot be read; its text is one line for a person."""


@dataclass(frozen=True)
class Identity:
    """The identity of one host.

    ``machine_id`` is an HMAC of the machine-id (64 hex digits) or None when the machine has none;
    ``notice`` says why an identity was replaced, or is empty.
    """

    key: ec.EllipticCurvePrivateKey
    id: str
    machine_id: str | None
    notice: str = ""

    @property
    def spki_sha256(self) -> bytes:
        """The SHA-256 of the public key (SubjectPublicKeyInfo, DER)."""
        return hashlib.sha256(certificates.spki(self.key.public_key())).digest()


@dataclass(frozen=True)
class _Record:
    machine_id: str | None
    notice: str = ""

    @classmethod
    def load(cls, path: Path) -> _Record | None:
        try:
            found = json.loads(path.read_bytes())
            return cls(found["machine_id"], str(found["notice"]))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise IdentityError(f"{path} cannot be read: {error!r}") from None

    def save(self, path: Path) -> None:
        text = {"machine_id": self.machine_id, "notice": self.notice}
        files.write_private(path, json.dumps(text, indent=1).encode())


def read_machine_id(path: Path) -> str | None:
    """Return an HMAC of the machine-id, as machine-id(5) asks of programs; None when there is none."""
    try:
        text = path.read_text("ascii").strip()
    except (OSError, ValueError):
        return None
    if not text or text == "uninitialized":
        return None
    return hmac.new(text.encode(), b"virshmanagerd machine 1", "sha256").hexdigest()


def load(config: Config) -> Identity:
    """Read the identity in the state directory, and make what is missing.

    Raises:
        IdentityError: when a file is damaged or cannot be reached.
    """
    directory = config.state_dir
    machine_id = read_machine_id(config.machine_id_file)
    try:
        files.make_private_directory(directory)
        for name in (KEY, RECORD, OWNER, adoptcode.FILE):
            files.remove_leftovers(directory, name)
        record = _settle(directory, machine_id)
        key = _load_key(directory / KEY)
    except OSError as error:
        raise IdentityError(f"the state directory cannot be used: {error}") from None
    return Identity(key, certificates.host_id(key.public_key()), machine_id, record.notice)


def _settle(directory: Path, machine_id: str | None) -> _Record:
    """Return the record that fits this machine; forget all of the original's when it is a clone."""
    path = directory / RECORD
    record = _Record.load(path)
    if record and (record.machine_id == machine_id or machine_id is None):
        return record
    notice = ""
    if record and record.machine_id is not None:
        logger.warning("%s Owner, key and journal of the original are forgotten here.", CLONED)
        # The record is written last: a crash before it finds the clone again.
        files.remove(directory / OWNER)
        files.remove(directory / adoptcode.FILE)
        journal.remove(directory)
        files.remove(directory / KEY)
        notice = CLONED
    record = _Record(machine_id, notice)
    record.save(path)
    return record


def _load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        key = certificates.new_key()
        files.write_private(path, certificates.key_to_pem(key))
        return key
    if path.stat().st_mode & 0o077:
        logger.warning("%s was open to others; its mode is 0600 now", path)
        path.chmod(0o600)
    try:
        return certificates.key_from_pem(data)
    except certificates.CertificateError as error:
        raise IdentityError(f"{path}: {error}") from None
