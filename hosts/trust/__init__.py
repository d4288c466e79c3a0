"""Trust: the authority, the server's identity, and the proofs. Files lie in `$VIRSHMANAGER_HOME/trust/`."""

import threading
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

from django.conf import settings

from . import authority, client, files
from .authority import Authority
from .client import ClientIdentity

__all__ = ["Authority", "ClientIdentity", "ca", "server_identity"]

_lock = threading.Lock()
_current: dict[Path, ClientIdentity] = {}


def ca() -> Authority:
    """Return this manager's certificate authority, made the first time."""
    return _authority(_folder())


def server_identity() -> ClientIdentity:
    """Return this server's client identity, renewed when it is past half its life."""
    folder = _folder()
    with _lock:
        found = _current.get(folder)
        if found is None or found.needs_renewal(datetime.now(UTC)):
            found = _current[folder] = client.load(folder, _authority(folder))
        return found


@lru_cache(maxsize=8)
def _authority(folder: Path) -> Authority:
    return authority.load(files.private_folder(folder))


def _folder() -> Path:
    return Path(settings.VIRSHMANAGER_HOME) / "trust"
