"""What else may go wrong than that a process is killed: networks, disks, and what hangs."""

from __future__ import annotations

import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Final

from tests.lab.hypervisor import DAEMON_PORT, Hypervisor

from .evidence import Subject
from .victims import kill_daemon_master

# To the daemon its port is the destination of what comes in, and the source of what goes out.
CUTS: Final = {"in": (("input", "dport"),), "out": (("output", "sport"),)}
DIRECTIONS: Final = {**CUTS, "both": CUTS["in"] + CUTS["out"]}
SMALL_DISK: Final = "2m"


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
        _shrink_journal(hypervisor)
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


def _shrink_journal(hypervisor: Hypervisor) -> None:
    """Leave nothing in SQLite's log: its old space would be used again on a disk that is full."""
    with closing(sqlite3.connect(hypervisor.daemon_state / "journal.sqlite")) as journal:
        journal.execute("PRAGMA wal_checkpoint(TRUNCATE)")
