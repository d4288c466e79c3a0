"""Small private files that must survive a crash, and be the same for every process."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path


def private_folder(path: Path) -> Path:
    """Return `path` as an existing folder that only its user may enter."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def make_once(path: Path, make: Callable[[], bytes]) -> bytes:
    """Return what `path` holds, made by `make` the first time.

    Two processes may start at once: the first link wins, and both read the same bytes.
    """
    if not path.exists():
        draft = _draft(path, make())
        try:
            path.hardlink_to(draft)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_bytes()


def replace(path: Path, content: bytes) -> None:
    """Write `path` whole or not at all: readers see the old bytes or the new."""
    _draft(path, content).replace(path)


def signature(path: Path) -> tuple[int, int, int] | None:
    """Return what differs when a file was replaced; None when there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _draft(path: Path, content: bytes) -> Path:
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return Path(name)
