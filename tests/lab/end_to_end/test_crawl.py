"""From an empty server to owned hypervisors and their domains."""

from __future__ import annotations

import pytest

from tests.lab.laboratory import OTHERS, Lab
from tests.lab.server import Json, Server

pytestmark = pytest.mark.lab


def test_the_first_crawl_finds_and_owns_all_three(site: Lab, first_crawl: Json, server: Server) -> None:
    assert first_crawl["state"] == "succeeded"
    # The server's own machine answers to itself, and is one of the others.
    assert first_crawl["counts"] == {"hypervisors": 3, "foreign": 0, "others": len(OTHERS) + 1, "silent": 249}
    assert first_crawl["packets_sent"] > 0
    for hypervisor in site.hypervisors:
        host = server.host(hypervisor.name)
        assert (host["trust"], host["status"], host["problem"]) == ("owned", "online", "")
        assert host["address"] == site.address_of(hypervisor)
        assert host["libvirt"]["alive"] is True
        assert host["libvirt"]["hypervisor"] == "QEMU"


def test_domains_are_listed_with_their_states(site: Lab, server: Server) -> None:
    for hypervisor in site.hypervisors:
        states = {guest.name: "running" if guest.running else "shutoff" for guest in hypervisor.guests}
        assert server.domains(hypervisor.name) == states
