"""One lab for the tests of a module: they leave it as they found it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.networks.requirements import require

from .laboratory import Lab


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """Three hypervisors with libvirtd and guests, without our daemon."""
    require("lab")
    with Lab() as lab:
        yield lab
