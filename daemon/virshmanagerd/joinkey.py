"""The join key: ``join.json``, put on the host by whoever may give it away."""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import json
import logging
import os
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from virshmanagerd import certificates, enrolment, files

if TYPE_CHECKING:
    from pathlib import Path

logger = logging.getLogger(__name__)

SPENT = "spent-join-keys.json"
MAX_BYTES = 64 * 1024
MAX_SPENT = 256


class JoinFileError(Exception):
    """``join.json`` cannot be used; the text is one line for a person, and never shows the secret."""


@dataclass(frozen=True)
class JoinKey:
    """A usable or expired join key. ``key`` is derived from the secret, ``ca`` is a certificate in PEM."""

    key_id: str
    key: bytes
    ca: str
    expires_at: dt.datetime

    def expired(self, at: dt.datetime) -> bool:
        """Say whether the key may no longer be used."""
        return at >= self.expires_at


def parse(data: bytes) -> JoinKey:
    """Read the content of ``join.json``.

    Raises:
        JoinFileError: when any part of it is missing or wrong.
    """
    found = _object(data)
    if found.get("version") != 1:
        raise JoinFileError("its version is not 1")
    texts: dict[str, str] = {}
    for name in ("key_id", "secret", "ca", "expires_at"):
        value = found.get(name)
        if not isinstance(value, str):
            raise JoinFileError(f"{name} is missing, or is no text")
        texts[name] = value
    return JoinKey(
        _key_id(texts["key_id"]), _key(texts["secret"]), _ca(texts["ca"]), _expiry(texts["expires_at"])
    )


def _object(data: bytes) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        raise JoinFileError("it is not JSON") from None
    if not isinstance(found, dict):
        raise JoinFileError("it is not a JSON object")
    return found


def _key_id(text: str) -> str:
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise JoinFileError("key_id is no UUID") from None


def _key(text: str) -> bytes:
    try:
        secret = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise JoinFileError("secret is not base64") from None
    if len(secret) != enrolment.SECRET_BYTES:
        raise JoinFileError(f"secret does not have {enrolment.SECRET_BYTES} bytes")
    return enrolment.join_key(secret)


def _ca(text: str) -> str:
    try:
        return certificates.certificate_to_pem(enrolment.usable_ca(text))
    except certificates.CertificateError as error:
        raise JoinFileError(f"ca: {error}") from None


def _expiry(text: str) -> dt.datetime:
    try:
        # Python 3.10 knows no "Z"
        expires_at = dt.datetime.fromisoformat(text.removesuffix("Z") + "+00:00" * text.endswith("Z"))
        if expires_at.tzinfo is None:
            raise JoinFileError("expires_at has no time zone")
        return expires_at.astimezone(dt.timezone.utc)
    except (ValueError, OverflowError):
        raise JoinFileError("expires_at is no time (RFC 3339)") from None


class JoinFile:
    """``join.json`` on disk: read when it changes, and wiped when it is spent.

    A spent key that cannot be removed (its folder is root's) is remembered in the state directory.
    """

    def __init__(self, path: Path, state_dir: Path) -> None:
        self._path = path
        self._spent_path = state_dir / SPENT
        self._seen: files.Signature = None
        self._key: JoinKey | None = None

    def read(self) -> JoinKey | None:
        """Return the key in the file, expired or not; None when there is none that was not spent."""
        signature = files.signature(self._path)
        if signature != self._seen:
            self._seen = signature
            self._key = self._load() if signature else None
        return self._key

    def spend(self, key_id: str) -> None:
        """Make sure that a key is not used again: remove the file, or remember the key's id."""
        if self._key is None or self._key.key_id != key_id:
            return
        self._key = None
        try:
            files.remove(self._path)
        except OSError as error:
            logger.warning("%s is spent, but cannot be removed (%s): remove it", self._path, error.strerror)
            self._remember(key_id)

    def _remember(self, key_id: str) -> None:
        spent = [*(known for known in self._spent() if known != key_id), key_id]
        try:
            files.write_private(self._spent_path, json.dumps(spent[-MAX_SPENT:]).encode())
        except OSError as error:
            # The host is owned by now, which matters more; each start of an owned host tries again.
            logger.error("the spent join key %s cannot be remembered: %s", key_id, error.strerror)

    def _load(self) -> JoinKey | None:
        try:
            with files.open_regular(self._path) as stream:
                data = stream.read(MAX_BYTES + 1)
                if len(data) > MAX_BYTES:
                    raise JoinFileError(f"it has more than {MAX_BYTES} bytes")
                key = parse(data)
                self._tighten(stream.fileno())  # not before: a link may lead to any file
        except OSError as error:
            logger.warning("%s is not used: %s", self._path, error.strerror)
            return None
        except JoinFileError as error:
            logger.warning("%s is not used: %s", self._path, error)
            return None
        if key.key_id in self._spent():
            logger.warning("%s is not used: the key %s is spent", self._path, key.key_id)
            return None
        return key

    def _tighten(self, handle: int) -> None:
        if not os.fstat(handle).st_mode & 0o077:
            return
        try:
            os.fchmod(handle, 0o600)
            logger.warning("%s was open to others; its mode is 0600 now", self._path)
        except OSError:
            logger.warning("%s is open to others, and is not ours to close: chmod it to 0600", self._path)

    def _spent(self) -> list[str]:
        try:
            found = json.loads(self._spent_path.read_bytes())
        except (OSError, ValueError):
            return []
        return [str(known) for known in found] if isinstance(found, list) else []
