"""Labs for tests: one of a module's own, and one with daemons and a server for all packages here."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.networks.requirements import require

from .laboratory import BLOCK, Lab
from .server import Json, Server


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """Three hypervisors with libvirtd and guests, without our daemon. Tests leave it as they found it."""
    require("lab")
    with Lab() as lab:
        yield lab


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


@pytest.fixture(scope="package")
def owner(empty_server: Server, first_crawl: Json) -> Server:
    """The server, which owns all three hypervisors."""
    return empty_server
