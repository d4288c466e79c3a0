"""The adopt code: ten characters that a person reads on the host, and types at the server within 15 minutes.

Only the keys that are derived from it are kept, in the state directory, where the running daemon finds them.
A salt follows from the host's key and the day, not from the code: any stranger is told it, and must not learn
from it whether there is a code.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import logging
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from virshmanagerd import enrolment, files

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric import ec

logger = logging.getLogger(__name__)

FILE = "adopt-code.json"
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base32: no I, L, O and U
LENGTH = 10
SALT_BYTES = 16
LIFE = dt.timedelta(minutes=15)


@dataclass(frozen=True)
class AdoptCode:
    """A code that was made, expired or not. ``keys`` has the key of each salt of its life: one, or two."""

    keys: Mapping[bytes, bytes] = field(repr=False)
    made_at: dt.datetime

    def expired(self, at: dt.datetime) -> bool:
        """Say whether the code is too old; a clock that was set back must not make it live longer."""
        return abs(at - self.made_at) >= LIFE


def salt(key: ec.EllipticCurvePrivateKey, at: dt.datetime) -> bytes:
    """Return the salt of a day of this host."""
    info = f"virshmanager adopt salt 1 {at:%F}".encode()
    secret = key.private_numbers().private_value.to_bytes(32, "big")
    return HKDF(algorithm=hashes.SHA256(), length=SALT_BYTES, salt=b"", info=info).derive(secret)


def make(directory: Path, key: ec.EllipticCurvePrivateKey, at: dt.datetime) -> str:
    """Make a code in the place of any other, and return it: this once, since only its keys are kept.

    Raises:
        OSError: when it cannot be stored.
    """
    code = "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))
    # The life of a code may reach into the next day, which has a salt of its own.
    salts = {salt(key, moment) for moment in (at, at + LIFE)}
    keys = {_text(each): _text(enrolment.adopt_key(code, each)) for each in salts}
    content = {"made_at": at.isoformat(), "keys": keys}
    files.write_private(directory / FILE, json.dumps(content, indent=1).encode())
    return code


class CodeFile:
    """The adopt code of a state directory, as it is there at each moment."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / FILE
        self._seen: files.Signature = None
        self._code: AdoptCode | None = None

    def read(self) -> AdoptCode | None:
        """Return the newest code, expired or not; None when there is none."""
        signature = files.signature(self._path)
        if signature != self._seen:
            self._seen = signature
            self._code = self._load() if signature else None
        return self._code

    def spend(self) -> None:
        """Make sure that the code is not used again."""
        self._code = None
        try:
            files.remove(self._path)
        except OSError as error:
            # The host is owned by now, which matters more; each start of an owned host tries again.
            logger.error("the adopt code in %s cannot be removed: %s", self._path, error.strerror)

    def _load(self) -> AdoptCode | None:
        try:
            found = json.loads(self._path.read_bytes())
            keys = {base64.b64decode(salt): base64.b64decode(key) for salt, key in found["keys"].items()}
            return AdoptCode(keys, dt.datetime.fromisoformat(found["made_at"]))
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            logger.warning("%s cannot be read: make a new adopt code", self._path)
            return None


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
