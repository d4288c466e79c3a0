"""Clocks that are set while processes run: the time of day as they see it, and nothing else."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.lab.hypervisor import Hypervisor
from tests.lab.server import Server

from .victims import kill_daemon_master

_SOURCE = Path(__file__).with_suffix(".c")
_HOUR = 3600


class Clock:
    """The clock of the processes that have `variables` in their environment. Its files are in `folder`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self._library, self._file = folder / "clock.so", folder / "clock"
        compiler = ("gcc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror")
        subprocess.run([*compiler, "-o", self._library, _SOURCE], check=True, timeout=60)
        self._file.write_bytes(struct.pack("=q", 0))

    def step(self, hours: int) -> None:
        """Set it so far from the true time, for all at once."""
        with self._file.open("r+b") as file:
            file.write(struct.pack("=q", hours * _HOUR))

    @property
    def variables(self) -> dict[str, str]:
        """What makes a process look at it."""
        return {"LD_PRELOAD": str(self._library), "LAB_CLOCK": str(self._file)}


@contextmanager
def daemon_clock(hypervisor: Hypervisor) -> Iterator[Clock]:
    """The daemon has a clock of its own."""
    clock = Clock(hypervisor.folder / "run/lab/clock")
    kill_daemon_master(hypervisor)
    hypervisor.start_daemon(*(f"{name}={value}" for name, value in clock.variables.items()))
    try:
        yield clock
    finally:
        kill_daemon_master(hypervisor)
        hypervisor.start_daemon()


@contextmanager
def server_clock(server: Server) -> Iterator[Clock]:
    """All parts of the server have one clock of their own."""
    clock = Clock(server.home / "clock")
    server.stop()
    server.serve(**clock.variables)
    try:
        yield clock
    finally:
        clock.step(0)
        server.stop()
        server.serve()
