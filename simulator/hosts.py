"""The hypervisors of one process: each with state, identity, domains and a door of its own, on one engine."""

import ipaddress
import random
import shutil
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from virshmanagerd.config import Config
from virshmanagerd.daemon import Daemon
from virshmanagerd.driver import Driver
from virshmanagerd.engine import Engine

from .fleet import machine_id, node_xml

BACKLOG = 128


@dataclass(frozen=True)
class Plan:
    """What to play. `domains` is the least and the most of one host; `join_file` is copied to every host."""

    network: ipaddress.IPv4Network
    port: int
    hosts: int
    domains: tuple[int, int]
    foreign: int
    state_dir: Path
    join_file: Path | None

    def name(self, index: int) -> str:
        return f"hv-{index + 1:02}"

    def address(self, index: int) -> str:
        """The address of the host `index`, counted from 0 over hypervisors and then foreign services."""
        return str(self.network[index + 1])


def serve(plan: Plan, indexes: Sequence[int], engine: Engine) -> list[Daemon]:
    """Add the hypervisors `indexes` of the plan to an engine, and return their daemons, started."""
    daemons = []
    for index in indexes:
        daemon = _daemon(plan, index)
        daemon.driver.start()
        engine.add(daemon, listen(plan.address(index), plan.port))
        daemons.append(daemon)
    return daemons


def listen(address: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((address, port))
    listener.listen(BACKLOG)
    return listener


def _daemon(plan: Plan, index: int) -> Daemon:
    name = plan.name(index)
    folder = plan.state_dir / name
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    node = folder / "node.xml"
    number = random.Random(name).randint(*plan.domains)  # noqa: S311 -- reproducible, not secret
    node.write_text(node_xml(name, number))
    (folder / "machine-id").write_text(machine_id(name))
    if plan.join_file:
        shutil.copy(plan.join_file, folder / "join.json")
    config = Config(
        listen=plan.address(index),
        port=plan.port,
        uri=f"test://{node}",
        state_dir=folder / "state",
        join_file=folder / "join.json",
        machine_id_file=folder / "machine-id",
        hostname=name,
    )
    return Daemon(config, Driver(config.uri))
