"""Each test adds machines of its own, at addresses of its own, to the lab that all share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.lab.hypervisor import Hypervisor
from tests.lab.laboratory import Lab
from tests.lab.server import Server

AddMachine = Callable[..., Hypervisor]


@pytest.fixture
def server(owner: Server) -> Server:
    """The server, which owns all three hypervisors."""
    return owner


@pytest.fixture
def add_machine(site: Lab, server: Server) -> Iterator[AddMachine]:
    """Add a machine, without libvirtd and with a join key if one is given; the test's end takes it away."""
    with ExitStack() as gone:

        def add(name: str, *addresses: str, join: str = "") -> Hypervisor:
            machine = site.add(name, *addresses)
            gone.callback(server.forget_hosts_at, addresses)
            gone.callback(machine.network.close)
            gone.callback(machine.close)
            machine.wait_until_ready()
            if join:
                machine.invite(join)
            return machine

        yield add
