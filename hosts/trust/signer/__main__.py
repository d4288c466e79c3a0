"""The process. Exits with 2 and one line on standard error when the key cannot be had."""

import argparse
import fcntl
import logging
import os
import pwd
import sys
from pathlib import Path

from ..unreadable import keep_unreadable
from . import counter, vault
from .desk import Desk

ROOT = 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m hosts.trust.signer", description="Sign certificates.")
    parser.add_argument("--folder", type=Path, required=True, help="where the sealed key of the authority is")
    parser.add_argument("--socket", type=Path, help="where to listen, when systemd hands no socket over")
    parser.add_argument("--client", metavar="USER", help="who may ask, besides root; by default who runs it")
    parser.add_argument("--prepare", action="store_true", help="make what is missing, open the key, and end")
    return parser.parse_args()


def sole_signer(folder: Path) -> int:
    """Hold the folder. The lock ends with the process, however that ends."""
    lock = os.open(folder / "signer.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise vault.VaultError(
            f"Another signer runs in {folder}, a server's or that of a command such as `manage.py crawl`: "
            "wait for its end, or stop it."
        ) from None
    return lock


def run(options: argparse.Namespace) -> None:
    folder: Path = options.folder
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    sole_signer(folder)
    succession = vault.KeptSuccession(folder, os.environ)
    os.environ.pop(vault.MASTER_KEY, None)
    if options.prepare:
        return
    client = pwd.getpwnam(options.client).pw_uid if options.client else os.geteuid()
    listener = counter.handed_over() or counter.listen(options.socket)
    counter.serve(listener, Desk(succession, folder), users={ROOT, client})


def main() -> int:
    # The key must be in no core dump, and no other process of this user may read it.
    keep_unreadable()
    os.umask(0o077)
    logging.basicConfig(format="{asctime} {levelname} signer: {message}", style="{", level=logging.INFO)
    try:
        run(arguments())
    except (vault.VaultError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except KeyboardInterrupt:
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
