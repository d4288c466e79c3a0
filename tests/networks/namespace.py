"""Network namespaces that never outlive the process that made them."""

from __future__ import annotations

import ctypes
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from . import sweep as sweeping

_CLONE_NEWNET = 0x40000000  # sched.h
_LIBC = ctypes.CDLL(None, use_errno=True)
_SERIAL = itertools.count()


def unique_name(role: str) -> str:
    """A name for `role` that no other run gives, and from which its owner is known."""
    return f"{sweeping.owner_token()}{next(_SERIAL)}-{role}"


def guard() -> None:
    """Sweep what dead runs left, and make sure that somebody sweeps when this process is killed."""
    _janitor_of(os.getpid())


@cache
def _janitor_of(_owner: int) -> subprocess.Popen[bytes]:
    sweeping.sweep()
    # Our end of the pipe closes when we end, however we end. A session of its own keeps Ctrl-C away from it.
    return subprocess.Popen(
        [sys.executable, sweeping.__file__, sweeping.owner_token()],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )


class Namespace:
    """A network namespace with its loopback up. Use it as a context manager, or call `close`.

    `command`, `run` and `start` begin processes in it; `entered` moves the calling thread into it.
    """

    def __init__(self, role: str) -> None:
        guard()
        self.role = role
        self.name = unique_name(role)
        self.path = sweeping.NETNS_FOLDER / self.name
        _checked(["ip", "netns", "add", self.name])
        self.ip("link set lo up")

    def __enter__(self) -> Namespace:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Namespace {self.name}>"

    def close(self) -> None:
        """Kill what still runs inside and delete it. May be called twice."""
        sweeping.remove_namespace(self.name)

    def ip(self, *commands: str) -> None:
        """Run `ip` commands (without the word `ip`) in one process. CalledProcessError when one fails."""
        _checked(["ip", "-n", self.name, "-batch", "-"], input="\n".join(commands) + "\n")

    def command(self, *argv: str | Path) -> list[str]:
        """The argument list that runs `argv` inside."""
        return ["ip", "netns", "exec", self.name, *map(str, argv)]

    def run(self, *argv: str | Path, timeout: float = 30, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run to its end. CalledProcessError on failure, TimeoutExpired after `timeout` seconds."""
        return _checked(self.command(*argv), timeout=timeout, **options)

    def start(self, *argv: str | Path, **options: Any) -> subprocess.Popen[bytes]:
        """Start a process that ends with us. Only from the main thread: the kernel ties it to the thread."""
        return subprocess.Popen(["setpriv", "--pdeathsig", "TERM", "--", *self.command(*argv)], **options)

    @contextmanager
    def entered(self) -> Iterator[None]:
        """In the block this thread, the sockets it opens and the processes it starts are in the namespace."""
        with Path("/proc/thread-self/ns/net").open() as home, self.path.open() as inside:
            _set_network_namespace(inside.fileno())
            try:
                yield
            finally:
                _set_network_namespace(home.fileno())

    def sent_packets(self, device: str = "eth0") -> int:
        """Packets this namespace has sent on `device` since the device was made."""
        listed = _checked(["ip", "-n", self.name, "-s", "-j", "link", "show", device]).stdout
        return int(json.loads(listed)[0]["stats64"]["tx"]["packets"])


def connect(near: Namespace, far: Namespace, *, near_device: str = "eth0", far_device: str = "eth0") -> None:
    """Join two namespaces with a virtual cable (a veth pair); both ends are up and have no address yet."""
    near.ip(
        f"link add {near_device} type veth peer name {far_device} netns {far.name}",
        f"link set {near_device} up",
    )
    far.ip(f"link set {far_device} up")


def _set_network_namespace(descriptor: int) -> None:
    # os.setns needs Python 3.12.
    if _LIBC.setns(descriptor, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def _checked(argv: list[str], *, timeout: float = 10, **options: Any) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=timeout, **options)
    except subprocess.CalledProcessError as error:
        error.add_note(f"{error.stdout}{error.stderr}".strip())
        raise
