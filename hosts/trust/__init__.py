"""Trust: the authority, the server's identity, and the proofs. Files lie in `$VIRSHMANAGER_HOME/trust/`."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Final

from django.conf import settings

from . import asking, authority, client, files, starting
from .asking import SigningError
from .authority import Authority
from .client import ClientIdentity

__all__ = [
    "Authority",
    "ClientIdentity",
    "SigningError",
    "ca",
    "server_identity",
    "signer_answers",
    "signer_at_hand",
]

# While the signer is down, whoever needs the identity does not wait for it each time.
AGAIN_AFTER: Final = timedelta(minutes=1)

_lock = threading.Lock()
_current: dict[Path, tuple[ClientIdentity, datetime]] = {}


def ca() -> Authority:
    """Return this manager's certificate authority. Raises SigningError until the signer has run once."""
    return _authority(_folder(), _signer())


def signer_answers() -> bool:
    """Whether certificates can be had now."""
    return asking.answers(_signer())


@contextmanager
def signer_at_hand() -> Iterator[None]:
    """For a command that a person runs: the signer that is there, else one for as long as this lasts.

    Raises:
        SigningError: when the key of the authority cannot be had.
    """
    there = settings.VIRSHMANAGER_SIGNER or signer_answers()
    with nullcontext() if there else starting.signer(_folder(), _signer()):
        yield


def server_identity() -> ClientIdentity:
    """Return this server's client identity, renewed when it is past half its life.

    Raises:
        SigningError: when there is none that is valid, and the signer is down.
    """
    folder, now = _folder(), datetime.now(UTC)
    with _lock:
        found, loaded = _current.get(folder, (None, now))
        if found is None or (found.needs_renewal(now) and abs(now - loaded) > AGAIN_AFTER):
            found = client.load(folder, ca())
            _current[folder] = found, now
        return found


@lru_cache(maxsize=8)
def _authority(folder: Path, signer: Path) -> Authority:
    return authority.load(files.private_folder(folder), signer)


def _signer() -> Path:
    return Path(settings.VIRSHMANAGER_SIGNER or settings.VIRSHMANAGER_HOME / "signer.sock")


def _folder() -> Path:
    return Path(settings.VIRSHMANAGER_HOME) / "trust"
