"""One lab and one server for all tests here. Each test adds machines of its own, at addresses of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.lab.hypervisor import Hypervisor
from tests.lab.laboratory import BLOCK, Lab
from tests.lab.server import Json, Server
from tests.networks.requirements import require

AddMachine = Callable[..., Hypervisor]


@pytest.fixture(scope="package")
def site() -> Iterator[Lab]:
    """Three hypervisors, with our daemon beside each libvirtd."""
    require("lab")
    with Lab() as lab:
        lab.start_daemons()
        yield lab


@pytest.fixture(scope="package")
def empty_server(site: Lab) -> Iterator[Server]:
    """The whole server, which knows the range of the lab and crawls it only when it is asked."""
    with Server(site.server) as server:
        server.serve()
        server.add_range(BLOCK)
        yield server


@pytest.fixture(scope="package")
def join(empty_server: Server) -> str:
    """The text of a join.json that any host may use."""
    return empty_server.join_key()


@pytest.fixture(scope="package")
def first_crawl(site: Lab, empty_server: Server, join: str) -> Json:
    """What `manage.py crawl` printed when all three hypervisors had a join key."""
    site.invite(join)
    [crawl] = empty_server.crawl_command(BLOCK)
    return crawl


@pytest.fixture
def server(empty_server: Server, first_crawl: Json) -> Server:
    """The server, which owns all three hypervisors."""
    return empty_server


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
