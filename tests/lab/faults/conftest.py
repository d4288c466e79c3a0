"""One site for all scenarios: each leaves it well."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.laboratory import Lab
from tests.lab.server import Server

from .site import Site as FaultSite


@pytest.fixture(scope="package")
def fault_site(site: Lab, owner: Server) -> Iterator[FaultSite]:
    """The lab, with a guest on which operations are tried."""
    with FaultSite(site, owner) as found:
        yield found
