"""What else may go wrong than that a process is killed: networks, clocks, disks, and what hangs."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from tests.lab.hypervisor import DAEMON_PORT, Hypervisor
from tests.lab.server import Server

from .evidence import Subject
from .victims import kill_daemon_master

# To the daemon its port is the destination of what comes in, and the source of what goes out.
CUTS: Final = {"in": (("input", "dport"),), "out": (("output", "sport"),)}
DIRECTIONS: Final = {**CUTS, "both": CUTS["in"] + CUTS["out"]}
FAKETIME: Final = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")
SMALL_DISK: Final = "512k"


@contextmanager
def cut(hypervisor: Hypervisor, direction: str) -> Iterator[None]:
    """Between server and daemon nothing passes in a direction, as the daemon sees it."""
    rules = ["add table inet cut"]
    for hook, port in DIRECTIONS[direction]:
        rules += [
            f"add chain inet cut {hook} {{ type filter hook {hook} priority 0; }}",
            f"add rule inet cut {hook} tcp {port} {DAEMON_PORT} drop",
        ]
    hypervisor.network.run("nft", "; ".join(rules))
    try:
        yield
    finally:
        hypervisor.network.run("nft", "delete table inet cut")


def keep_for(seconds: float, meanwhile: Callable[[], None]) -> None:
    """Let a state last for so long, and look at the others all the time."""
    ends_at = time.monotonic() + seconds
    while time.monotonic() < ends_at:
        meanwhile()


@contextmanager
def hung(hypervisor: Hypervisor, service: str) -> Iterator[None]:
    """A service does not go on (SIGSTOP)."""
    hypervisor.send(service, signal.SIGSTOP)
    try:
        yield
    finally:
        hypervisor.send(service, signal.SIGCONT)


@contextmanager
def hung_guest(subject: Subject) -> Iterator[None]:
    """The QEMU of a guest does not go on."""
    pid = str(subject.qemu())
    subject.hypervisor.run("kill", "-STOP", pid)
    try:
        yield
    finally:
        subject.hypervisor.run("kill", "-CONT", pid)


class Clock:
    """A clock that its processes take for the time of day; how long something takes they know as before."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.step(0)

    def step(self, hours: int) -> None:
        """Set it so far from the true time."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{hours:+d}h\n")
        new.rename(self._file)

    @property
    def variables(self) -> dict[str, str]:
        """What the processes must have in their environment."""
        return {
            "LD_PRELOAD": str(FAKETIME),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }


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
        _remove_shared_memory()


def _remove_shared_memory() -> None:
    """libfaketime names what its processes share by their ids, and killed ones leave it behind."""
    for left in Path("/dev/shm").glob("*faketime_*"):  # noqa: S108 -- where it is
        pid = left.name.rpartition("_")[2]
        if not Path("/proc", pid).exists():
            left.unlink(missing_ok=True)


class SmallDisk:
    """A disk that holds the daemon's state and little more."""

    def __init__(self, hypervisor: Hypervisor) -> None:
        self._hypervisor = hypervisor
        self._filler = f"{hypervisor.daemon_state}/filler"

    def fill(self) -> None:
        """Leave no room on it."""
        script = 'dd if=/dev/zero of="$0" bs=1k 2>/dev/null; dd if=/dev/zero of="$0.2" bs=1 2>/dev/null; true'
        self._hypervisor.run("sh", "-c", script, self._filler)

    def free(self) -> None:
        """Make room again."""
        self._hypervisor.run("rm", "-f", self._filler, f"{self._filler}.2")


@contextmanager
def small_disk(hypervisor: Hypervisor) -> Iterator[SmallDisk]:
    """The daemon's state, which it keeps, is on a small disk."""
    state, disk = str(hypervisor.daemon_state), "/run/lab/disk"
    with ExitStack() as undo:
        kill_daemon_master(hypervisor)
        undo.callback(hypervisor.start_daemon)
        hypervisor.run("mkdir", disk)
        undo.callback(hypervisor.run, "rmdir", disk)
        hypervisor.run("mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK},mode=700", "tmpfs", disk)
        undo.callback(hypervisor.run, "umount", disk)
        hypervisor.run("cp", "-a", f"{state}/.", disk)
        hypervisor.run("mount", "--bind", disk, state)
        undo.callback(hypervisor.run, "cp", "-a", f"{disk}/.", state)
        undo.callback(hypervisor.run, "umount", state)
        small = SmallDisk(hypervisor)
        undo.callback(small.free)
        undo.callback(kill_daemon_master, hypervisor)
        hypervisor.start_daemon()
        yield small
