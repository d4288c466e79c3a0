"""Trust: the authority, the server's identity, and the proofs. Files lie in `$VIRSHMANAGER_HOME/trust/`."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Final

from django.conf import settings

from . import asking, authority, client, files, rotating, starting
from .asking import SigningError
from .authority import Authority
from .client import ClientIdentity
from .rotating import Rotation

__all__ = [
    "Authority",
    "ClientIdentity",
    "Rotation",
    "SigningError",
    "ca",
    "let_leave",
    "rotation",
    "server_identity",
    "signer_answers",
    "signer_at_hand",
    "start_rotation",
    "take_over",
]

# While the signer is down, whoever needs the identity does not wait for it each time.
AGAIN_AFTER: Final = timedelta(minutes=1)

_lock = threading.Lock()
_current: dict[Path, tuple[ClientIdentity, datetime]] = {}


def ca() -> Authority:
    """Return this manager's certificate authority. Raises SigningError until the signer has run once."""
    folder = _folder()
    seen = (files.signature(folder / "ca.pem"), files.signature(folder / rotating.FILE))
    return _authority(folder, _signer(), seen)


def rotation() -> Rotation | None:
    """Return how far the authority is followed by another one; None when it never was."""
    return rotating.read(_folder())


def start_rotation(*, take_over_by: datetime, hurried: bool) -> Rotation:
    """Have the next authority made. Raises SigningError."""
    plan = {"started_at": datetime.now(UTC), "take_over_by": take_over_by, "hurried": hurried}
    return rotating.start(_folder(), _signer(), ca().certificate, **plan)


def take_over(running: Rotation) -> None:
    """Let the next authority sign from now on. Raises SigningError."""
    rotating.take_over(_folder(), _signer(), running, datetime.now(UTC))


def let_leave(running: Rotation) -> Rotation:
    """Believe the authority of before no more."""
    return rotating.let_leave(_folder(), running, datetime.now(UTC))


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
    folder, present, now = _folder(), ca(), datetime.now(UTC)
    with _lock:
        found, loaded = _current.get(folder, (None, now))
        due = found is None or (found.needs_renewal(now) and abs(now - loaded) > AGAIN_AFTER)
        if found is None or due or found.authority != present:
            found = client.load(folder, present)
            _current[folder] = found, now
        return found


@lru_cache(maxsize=8)
def _authority(folder: Path, signer: Path, _seen: object) -> Authority:
    return authority.load(files.private_folder(folder), signer)


def _signer() -> Path:
    return Path(settings.VIRSHMANAGER_SIGNER or settings.VIRSHMANAGER_HOME / "signer.sock")


def _folder() -> Path:
    return Path(settings.VIRSHMANAGER_HOME) / "trust"
