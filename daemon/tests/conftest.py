"""Fixtures of all tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from authority import Authority
from doors import World
from hypervisors import driver, outside, watching
from hypothesis import HealthCheck, settings
from privatelibvirt import cache, libvirtd, mount_points

__all__ = ["cache", "driver", "libvirtd", "mount_points", "outside", "watching"]  # fixtures

# How long an example takes says more about the machine than about the code.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """An engine that runs."""
    running = World(tmp_path)
    yield running
    running.close()


@pytest.fixture(scope="session")
def authority() -> Authority:
    """The server that may own hosts here."""
    return Authority()


@pytest.fixture(scope="session")
def other_authority() -> Authority:
    """A server of somebody else."""
    return Authority()
