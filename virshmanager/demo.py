"""The demo: a simulated network on the loopback, found and owned as a real one would be.

The simulator's hosts get a join key of this server, as a package or configuration management would give it to
real hosts; then one crawl finds them, and they enrol.
"""

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from virshmanager.supervisor import StartError, Supervisor, manage, python, reachable, say

NETWORK = "127.0.77.0/28"
HYPERVISORS = 6
FIRST, LAST = "127.0.77.1", "127.0.77.7"
# A second demo on this machine takes the next port: the addresses are the same.
PORTS = range(16510, 16520)
KEY_SECONDS = 23 * 3600


@contextlib.contextmanager
def claimed_port() -> Iterator[int]:
    """A port that is free on the network, and no other demo's as long as this lasts. Raises StartError.

    The claim is a UDP socket of the same number: the kernel gives it to one process, and takes it back.
    """
    for port in PORTS:
        with socket.socket(type=socket.SOCK_DGRAM) as claim, socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                claim.bind((FIRST, port))
                probe.bind((FIRST, port))
            except OSError:
                continue
            probe.close()
            yield port
            return
    raise StartError(f"The demo finds no free port from {PORTS[0]} to {PORTS[-1]} on {FIRST}.")


async def play(supervisor: Supervisor, home: Path, port: int) -> None:
    """Start the simulated network and crawl it. Raises ChildError."""
    folder = home / "demo"
    folder.mkdir(mode=0o700, exist_ok=True)
    say(f"Demo: a simulated network, {NETWORK}")
    join_file = await join_key(supervisor, folder / "join.json")
    arguments = ("--state-dir", str(folder / "hosts"), "--join-file", str(join_file), "--port", str(port))
    simulator = python("simulator", "-m", "simulator", "--hosts", str(HYPERVISORS), *arguments)
    # It ends its own processes when it is asked to.
    supervisor.start(replace(simulator, on_orphan="TERM"))
    await reachable("simulator", partial(asyncio.open_connection, LAST, port))
    # The range keeps the port: its schedule must look at this demo, not at another on this machine.
    await supervisor.run_once(manage("range", "range", NETWORK, "--port", str(port)))
    await supervisor.run_once(manage("crawl", "crawl", NETWORK), echo=True)


async def join_key(supervisor: Supervisor, path: Path) -> Path:
    """Write a fresh join key unless the last one is still good: a key lives a day."""
    if not path.exists() or time.time() - path.stat().st_mtime > KEY_SECONDS:
        terms = ("--label", "Demo", "--cidr", NETWORK, "--max-uses", str(HYPERVISORS), "--approve", "auto")
        command = replace(manage("join_key", "join_key", "create", *terms), private=True)
        text = "\n".join(await supervisor.run_once(command))
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(f"{text}\n")
    return path
