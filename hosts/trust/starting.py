"""A signer for a command that a person runs while no server does."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from . import asking
from .asking import SigningError

START_DEADLINE: Final = 30.0
PROJECT: Final = Path(__file__).parents[2]


@contextmanager
def signer(folder: Path, socket: Path) -> Iterator[None]:
    """Run a signer. It ends with this process, however that ends (setpriv(1)).

    Raises:
        SigningError: when the key of the authority cannot be had.
    """
    orphan = ("setpriv", "--pdeathsig", "TERM", "--")
    program = (sys.executable, "-m", "hosts.trust.signer", "--folder", str(folder), "--socket", str(socket))
    with (
        # No pipe: when nobody reads it, it is full after some hundred signatures, and holds up the next one.
        tempfile.TemporaryFile("w+") as log,
        subprocess.Popen(  # noqa: S603 -- our own program
            [*orphan, *program],
            cwd=PROJECT,
            stdin=subprocess.DEVNULL,
            stderr=log,
            # Ctrl-C is for the command: what it still asks is answered.
            start_new_session=True,
        ) as process,
    ):
        try:
            _wait_for(process, socket, log)
            yield
        finally:
            process.terminate()


def _wait_for(process: "subprocess.Popen[bytes]", socket: Path, log: IO[str]) -> None:
    deadline = time.monotonic() + START_DEADLINE
    while not asking.answers(socket):
        if process.poll() is not None:
            log.seek(0)
            raise SigningError("signer_fails", detail=(log.read().splitlines() or [""])[-1])
        if time.monotonic() > deadline:
            raise SigningError("signer_down")
        time.sleep(0.02)
