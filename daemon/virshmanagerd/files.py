"""Small files that must survive a crash, and must not be read by others."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from pathlib import Path

Signature = tuple[int, int, int] | None


def make_private_directory(path: Path) -> None:
    """Make ``path`` a directory that only its owner may enter.

    Raises:
        OSError: when it cannot be made, or belongs to somebody else.
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.stat().st_mode & 0o077:
        path.chmod(0o700)


def write_private(path: Path, data: bytes) -> None:
    """Replace ``path`` by ``data``, whole or not at all, readable by the owner of its directory only."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            owner = path.parent.stat()
            if owner.st_uid != os.geteuid():  # root, by a command: the daemon has a user of its own
                os.fchown(handle, owner.st_uid, owner.st_gid)
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)  # noqa: PTH105 - a name from mkstemp is text
    except BaseException:
        os.unlink(temporary)  # noqa: PTH108
        raise
    sync_directory(path.parent)


def open_regular(path: Path) -> BinaryIO:
    """Open a file to read it; a pipe or a device, which could make the reader wait for ever, is refused.

    Raises:
        OSError: when it cannot be opened, or is no regular file.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "it is no regular file")
    return os.fdopen(handle, "rb")


def remove_leftovers(directory: Path, name: str) -> None:
    """Remove what ``write_private`` left of ``name`` when the process was killed in the middle of it."""
    for leftover in directory.glob(f".{name}.*"):
        leftover.unlink(missing_ok=True)


def remove(path: Path) -> bool:
    """Remove ``path`` for good; say whether it was there."""
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    sync_directory(path.parent)
    return True


def sync_directory(path: Path) -> None:
    """Make renames and removals in ``path`` last over a power cut."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def signature(path: Path) -> Signature:
    """Return what changes when a file is replaced or written, or None when it is not there.

    Two writes within one tick of the clock differ by inode, since every write here is a rename.
    """
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
