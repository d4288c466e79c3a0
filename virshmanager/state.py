"""The state folder: private to its user, and the secrets in it made once."""

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured


def private_folder(path: Path) -> Path:
    """Return `path` as an existing folder that only its user may enter."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ImproperlyConfigured(f"The state folder {path} cannot be made: {error.strerror}.") from None
    if not os.access(path, os.W_OK | os.X_OK):
        raise ImproperlyConfigured(f"The state folder {path} is not writable.")
    return path


def private_text(path: Path, make: Callable[[], str]) -> str:
    """Return the text kept in `path`, made by `make` the first time.

    Two processes may start at once: the first link wins, and both read the same text.
    """
    if not path.exists():
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(make())
            file.flush()
            os.fsync(file.fileno())
        try:
            path.hardlink_to(draft)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text().strip()


class InUse(Exception):
    """Another process holds the state folder."""


@contextlib.contextmanager
def sole_user(home: Path) -> Iterator[None]:
    """Hold the state folder. The lock ends with the process, however that ends. Raises InUse."""
    with (home / "serve.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InUse from None
        yield
