"""The processes that are killed, by their ids, and how they come back."""

from __future__ import annotations

import http.client
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from tests.lab.hypervisor import Hypervisor
from tests.lab.machine import wait_for
from tests.lab.server import Server

# What is in the command line of the server's parts. Its supervisor starts them again by itself.
PARTS: Final = {
    "web": "virshmanager.asgi",
    "worker": " worker ",
    "watcher": "manage.py watch",
    "redis": "redis-server",
}
RESTART_SECONDS: Final = 40
Kill = Callable[[Server, Hypervisor], None]


def kill_part(server: Server, name: str) -> None:
    """Kill a part of the server (SIGKILL)."""
    pid = part(server, name)
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: part_or_none(server, name) != pid, f"{name} is gone")


def part(server: Server, name: str) -> int:
    """The process id of a part of the server."""
    found = part_or_none(server, name)
    if found is None:
        raise ProcessLookupError(f"{name} does not run")
    return found


def part_or_none(server: Server, name: str) -> int | None:
    for child in _children(server.pid):
        if PARTS[name] in _command_line(child):
            return child
    return None


def _children(pid: int) -> Iterator[int]:
    """What all threads of a process have started. A thread that ends meanwhile is passed over."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):
            yield from map(int, (task / "children").read_text().split())


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def wait_for_part(server: Server, name: str) -> None:
    """Wait until a part that was killed is at work again."""
    wait_for(lambda: part_or_none(server, name), f"{name} is started again", deadline=RESTART_SECONDS)
    if name == "web":
        wait_for(lambda: answers(server, "/healthz"), "web answers", deadline=RESTART_SECONDS)


def answers(server: Server, path: str) -> bool:
    """Whether the server says 200."""
    try:
        return server.request("GET", path, "", {}, timeout=5)[0] == http.client.OK
    except (OSError, http.client.HTTPException):
        return False


def empty_redis(server: Server) -> None:
    """Let Redis forget everything."""
    server.namespace.run("redis-cli", "-s", server.home / "redis.sock", "flushall")


def kill_daemon_worker(hypervisor: Hypervisor) -> None:
    """Kill the process of the daemon that works; its master starts another."""
    old = _workers(hypervisor)
    hypervisor.run("kill", "-9", *old)
    wait_for(lambda: not set(old) & set(_workers(hypervisor)), "the worker is gone")


def kill_daemon_master(hypervisor: Hypervisor) -> None:
    """Kill the master of the daemon; as systemd does, what it leaves is ended then."""
    left = _workers(hypervisor)
    hypervisor.stop("virshmanagerd", signal.SIGKILL)
    script = 'kill -9 "$@" 2>/dev/null; while kill -0 "$@" 2>/dev/null; do sleep 0.02; done'
    hypervisor.run("sh", "-c", script, "sh", *left)


def kill_libvirtd(hypervisor: Hypervisor) -> None:
    """Kill libvirtd; its guests go on."""
    hypervisor.stop("libvirtd", signal.SIGKILL)


def _workers(hypervisor: Hypervisor) -> list[str]:
    script = 'pid=$(cat /run/lab/virshmanagerd.pid) && cat "/proc/$pid/task/$pid/children"'
    return hypervisor.run("sh", "-c", script).split()


def _nothing(_server: Server, _hypervisor: Hypervisor) -> None:
    """It comes back by itself."""


def _killing(name: str) -> Kill:
    return lambda server, _: kill_part(server, name)


def _waiting(name: str) -> Kill:
    return lambda server, _: wait_for_part(server, name)


# How each is killed, and what has to be done so that it comes back.
KILLS: Final[dict[str, Kill]] = {
    **{name: _killing(name) for name in PARTS},
    "emptied redis": lambda server, _: empty_redis(server),
    "daemon": lambda _, hypervisor: kill_daemon_worker(hypervisor),
    "daemon master": lambda _, hypervisor: kill_daemon_master(hypervisor),
    "libvirtd": lambda _, hypervisor: kill_libvirtd(hypervisor),
}
REPAIRS: Final[dict[str, Kill]] = {
    **{name: _waiting(name) for name in PARTS},
    "emptied redis": _nothing,
    "daemon": _nothing,
    "daemon master": lambda _, hypervisor: hypervisor.start_daemon(),
    "libvirtd": lambda _, hypervisor: hypervisor.restart_libvirtd(),
}
