"""The hypervisors of one process: each with state, identity, domains and a door of its own, on one engine."""

import random
import shutil
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from virshmanagerd import identity
from virshmanagerd.config import Config
from virshmanagerd.daemon import Daemon
from virshmanagerd.driver import Driver
from virshmanagerd.driver.answers import HostFacts
from virshmanagerd.engine import Engine

from .fleet import machine_id, memory_free, node_xml

BACKLOG = 128


class ListenError(Exception):
    """An address or port cannot be had; the text is one line for a person."""


@dataclass(frozen=True)
class Plan:
    """What to play: a hypervisor at each of `hypervisors`, and a foreign service at each of `foreign`.

    `domains` is the least and the most of one host; `join_file` is copied to each host without an owner. The
    last `hung` hypervisors accept connections and never answer; at the `refusing` before nothing listens.
    `events` is how many domains of all hosts together change in a second, while that is switched on.
    """

    hypervisors: tuple[str, ...]
    port: int
    state_dir: Path
    foreign: tuple[str, ...] = ()
    domains: tuple[int, int] = (10, 40)
    join_file: Path | None = None
    hung: int = 0
    refusing: int = 0
    events: float = 0

    @property
    def well(self) -> int:
        """How many hypervisors answer: the first ones."""
        return len(self.hypervisors) - self.hung - self.refusing

    @property
    def silent(self) -> tuple[str, ...]:
        """The addresses of those that accept and never answer."""
        return self.hypervisors[self.well + self.refusing :]

    def name(self, index: int) -> str:
        return f"hv-{index + 1:02}"


class SimulatedDriver(Driver):
    """The test driver says that no memory is free: here what the domains leave at the start is."""

    def __init__(self, uri: str, memory_free: int) -> None:
        super().__init__(uri)
        self._memory_free = memory_free

    def host(self) -> HostFacts:
        """See `Driver.host`."""
        return {**super().host(), "memory_free": self._memory_free}


def serve(plan: Plan, indexes: Sequence[int], engine: Engine) -> list[Daemon]:
    """Add the hypervisors `indexes` of the plan to an engine, and return their daemons, started.

    Raises ListenError.
    """
    daemons = []
    for index in indexes:
        listener = listen(plan.hypervisors[index], plan.port)
        daemon = _daemon(plan, index)
        daemon.driver.start()
        engine.add(daemon, listener)
        daemons.append(daemon)
    return daemons


def listen(address: str, port: int) -> socket.socket:
    """Return a listening socket. Raises ListenError."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((address, port))
    except OSError as error:
        listener.close()
        raise ListenError(f"cannot listen on {address} port {port}: {error.strerror}") from None
    listener.listen(BACKLOG)
    return listener


def _daemon(plan: Plan, index: int) -> Daemon:
    name = plan.name(index)
    folder = plan.state_dir / name
    state = folder / "state"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    node = folder / "node.xml"
    number = random.Random(name).randint(*plan.domains)  # noqa: S311 -- reproducible, not secret
    xml = node_xml(name, number)
    node.write_text(xml)
    (folder / "machine-id").write_text(machine_id(name))
    if plan.join_file and not (state / identity.OWNER).exists():
        shutil.copy(plan.join_file, folder / "join.json")
    config = Config(
        listen=plan.hypervisors[index],
        port=plan.port,
        uri=f"test://{node}",
        state_dir=state,
        join_file=folder / "join.json",
        machine_id_file=folder / "machine-id",
        hostname=name,
    )
    return Daemon(config, SimulatedDriver(config.uri, memory_free(xml)))
