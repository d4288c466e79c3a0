"""What else may have the port, and what may not be asked at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.lab.hypervisor import DAEMON_PORT
from tests.lab.laboratory import BLOCK, Lab
from tests.lab.server import Server
from tests.networks import Namespace, foreign_https, ignore_ping, ssh_server, tarpit, watched

from .conftest import AddMachine

pytestmark = pytest.mark.lab


@contextmanager
def neighbour(site: Lab, address: str) -> Iterator[Namespace]:
    """A machine on the segment that has nothing of ours."""
    with site.segment.host("neighbour", address) as namespace:
        yield namespace


@contextmanager
def crawlable(server: Server, cidr: str) -> Iterator[None]:
    range_id = server.add_range(cidr)
    try:
        yield
    finally:
        server.ask("DELETE", f"ranges/{range_id}/")


def reason(server: Server, address: str) -> tuple[str, str]:
    """Kind and reason of an address."""
    found = server.address(address)
    assert found is not None, f"nothing is known of {address}"
    return found["kind"], found["reason"]


class TestOtherServices:
    def test_strangers_are_named_and_delay_nobody(
        self, site: Lab, server: Server, tmp_path: Path, add_machine: AddMachine, join: str
    ) -> None:
        add_machine("newcomer", "10.78.9.43", join=join).start_daemon()
        with (
            neighbour(site, "10.78.9.40") as web,
            neighbour(site, "10.78.9.41") as ssh,
            neighbour(site, "10.78.9.42") as silent,
            foreign_https(web, DAEMON_PORT, tmp_path),
            ssh_server(ssh, DAEMON_PORT, tmp_path),
            tarpit(silent, DAEMON_PORT),
        ):
            server.crawl(BLOCK, deadline=15)
        assert reason(server, "10.78.9.40") == ("foreign", "not_virshmanager")
        assert reason(server, "10.78.9.41") == ("foreign", "not_tls")
        assert reason(server, "10.78.9.42") == ("foreign", "too_slow")
        assert server.host("newcomer")["trust"] == "owned"

    def test_a_recheck_finds_the_stranger_that_became_a_hypervisor(
        self, server: Server, join: str, add_machine: AddMachine
    ) -> None:
        machine = add_machine("convert", "10.78.9.44", join=join)
        with tarpit(machine.network, DAEMON_PORT):
            server.crawl(BLOCK)
        assert reason(server, "10.78.9.44") == ("foreign", "too_slow")
        machine.start_daemon()
        server.crawl(BLOCK, "recheck")
        assert reason(server, "10.78.9.44") == ("hypervisor", "")
        assert server.host("convert")["trust"] == "owned"

    def test_a_host_that_drops_ping_is_found_by_its_port(
        self, site: Lab, server: Server, join: str, add_machine: AddMachine
    ) -> None:
        hidden = add_machine("hidden", "10.78.9.45", join=join)
        hidden.start_daemon()
        # Behind a router: on its own link ARP would tell.
        hidden.network.ip("address add 10.78.10.45/32 dev lo")
        site.server.ip("route replace 10.78.10.45/32 via 10.78.9.45")
        ignore_ping(hidden.network)
        with crawlable(server, "10.78.10.45/32"):
            crawl = server.crawl("10.78.10.45/32")
        assert crawl["counts"]["hypervisors"] == 1
        assert "10.78.10.45" in server.host("hidden")["addresses"]


class TestPeace:
    def test_an_excluded_address_gets_no_packet(
        self, site: Lab, server: Server, join: str, add_machine: AddMachine
    ) -> None:
        machine = add_machine("half-hidden", "10.78.9.46", "10.78.9.47", join=join)
        machine.start_daemon()
        path = f"ranges/{server.range_id(BLOCK)}/"
        server.ask("PATCH", path, {"excluded": ["10.78.9.46"]})
        try:
            with watched(site.server) as frames:
                for phase in ("full", "new", "recheck", "probe"):
                    server.crawl(BLOCK, phase)
                assert frames.sent_to("10.78.9.46") == 0
                assert frames.sent_to("10.78.9.47") > 0
        finally:
            server.ask("PATCH", path, {"excluded": []})
        assert server.host("half-hidden")["addresses"] == ["10.78.9.47"]

    def test_overlapping_ranges_ask_an_address_once_by_the_narrowest(
        self, site: Lab, server: Server, join: str, add_machine: AddMachine
    ) -> None:
        add_machine("overlapped", "10.78.9.50", join=join).start_daemon()
        with crawlable(server, "10.78.9.48/29"):
            with watched(site.server) as frames:
                server.crawl(BLOCK)
                assert frames.sent_to("10.78.9.50") == 0
                assert frames.sent_to("10.78.9.60") > 0
                narrow = server.crawl("10.78.9.48/29")
                assert frames.sent_to("10.78.9.50") > 0
            assert narrow["counts"]["hypervisors"] == 1
            found = server.address("10.78.9.50")
            assert found is not None
            assert found["range"] == server.range_id("10.78.9.48/29")
        # Without the narrow range the address, and what is known of it, are the wide one's.
        found = server.address("10.78.9.50")
        assert found is not None
        assert found["range"] == server.range_id(BLOCK)
        assert server.host("overlapped")["trust"] == "owned"
