"""A host is its key: not its address, not its disk, and not whoever says so."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from tests.lab.hypervisor import DAEMON_PORT, Hypervisor
from tests.lab.laboratory import BLOCK, Lab
from tests.lab.machine import wait_for
from tests.lab.server import Server
from tests.networks import watched

from .conftest import AddMachine

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def rival(site: Lab) -> Iterator[Server]:
    """Another manager on the same network, whose user is not root: it scans by connecting."""
    with Server(site.server, user="nobody") as server:
        server.manage("migrate", "--verbosity", "0")
        yield server


def copy_state(original: Hypervisor, copy: Hypervisor) -> None:
    shutil.copytree(original.daemon_state, copy.daemon_state)


class TestOwnedByAnother:
    def test_it_is_shown_as_a_stranger_and_is_no_host(
        self, server: Server, rival: Server, add_machine: AddMachine
    ) -> None:
        add_machine("theirs", "10.78.9.20", join=rival.join_key()).start_daemon()
        [crawl] = rival.crawl_command(BLOCK)
        assert crawl["counts"]["hypervisors"] == 1
        server.crawl(BLOCK)
        stranger = server.address("10.78.9.20")
        assert stranger is not None
        assert (stranger["kind"], stranger["reason"]) == ("foreign", "owned_by_another")
        assert stranger["host"] is None

    def test_a_scan_without_root_finds_all_that_a_scan_as_root_finds(
        self, server: Server, rival: Server
    ) -> None:
        [theirs] = rival.crawl_command(BLOCK)
        ours = server.crawl(BLOCK)
        # Who only connects leaves the packets to the kernel, which does not count them for him.
        assert theirs["packets_sent"] == 0 < ours["packets_sent"]
        # Ours are owned: to the rival they are strangers, each at its open port.
        assert theirs["counts"]["foreign"] == ours["counts"]["hypervisors"] == 3


class TestCopies:
    def test_a_disk_on_another_machine_is_a_newcomer(
        self, server: Server, join: str, add_machine: AddMachine
    ) -> None:
        template = add_machine("template", "10.78.9.21", join=join)
        template.start_daemon()
        server.crawl(BLOCK)
        clone = add_machine("clone", "10.78.9.22")
        template.stop("virshmanagerd")
        copy_state(template, clone)
        template.start_daemon()
        clone.start_daemon()
        server.crawl(BLOCK)
        assert server.host("template")["trust"] == "owned"
        address = server.address("10.78.9.22")
        assert address is not None
        newcomer = server.ask("GET", f"hosts/{address['host']}/")
        assert newcomer["uuid"] != server.host("template")["uuid"]
        assert (newcomer["trust"], newcomer["problem"]) == ("found", "no_join_key")
        assert "became a host of its own" in clone.log("virshmanagerd")

    def test_of_a_full_copy_neither_is_used_until_a_person_decides(
        self, server: Server, join: str, add_machine: AddMachine
    ) -> None:
        original = add_machine("original", "10.78.9.23", join=join)
        original.start_daemon()
        server.crawl(BLOCK)
        copy = add_machine("copy", "10.78.9.24")
        copy_state(original, copy)
        copy.write("etc/machine-id", original.read("etc/machine-id"))
        copy.start_daemon()
        server.crawl(BLOCK)
        host = server.host("original")
        assert (host["trust"], host["problem"]) == ("owned", "duplicate_identity")
        assert host["address"] == "10.78.9.23"
        server.crawl(BLOCK, "probe")
        assert server.host("original")["last_seen"] == host["last_seen"]

        copy.stop("virshmanagerd")
        server.ask("POST", f"hosts/{host['id']}/approve/")
        server.crawl(BLOCK, "probe")
        assert server.host("original")["problem"] == "libvirt_down"  # its libvirtd was never started


class TestAddresses:
    def test_a_host_that_moved_is_the_same_host(
        self, site: Lab, server: Server, join: str, add_machine: AddMachine
    ) -> None:
        nomad = add_machine("nomad", "10.78.9.25", join=join)
        nomad.start_daemon()
        server.crawl(BLOCK)
        before = server.host("nomad")
        site.segment.drop_address(nomad.network, "10.78.9.25")
        site.segment.add_address(nomad.network, "10.78.9.26")
        server.crawl(BLOCK)
        after = server.host("nomad")
        assert (after["id"], after["uuid"], after["trust"]) == (before["id"], before["uuid"], "owned")
        assert after["address"] == "10.78.9.26"
        server.crawl(BLOCK, "probe")
        left = server.address("10.78.9.25")
        assert left is not None
        assert left["kind"] == "other"

    def test_whoever_has_its_old_address_now_does_not_become_it(
        self, site: Lab, server: Server, join: str, add_machine: AddMachine
    ) -> None:
        nomad = add_machine("settler", "10.78.9.27", join=join)
        nomad.start_daemon()
        server.crawl(BLOCK)
        before = server.host("settler")
        site.segment.drop_address(nomad.network, "10.78.9.27")
        add_machine("squatter", "10.78.9.27", join=join).start_daemon()
        site.server.ip("neigh flush dev eth0")  # a machine that gets an address announces itself
        server.crawl(BLOCK, "probe")
        assert server.host("settler")["problem"] == "wrong_identity"
        assert server.host("settler")["last_seen"] == before["last_seen"]
        assert server.host("squatter")["uuid"] != before["uuid"]
        assert server.host("squatter")["trust"] == "owned"

    def test_a_host_with_two_addresses_is_one_host(
        self, server: Server, join: str, add_machine: AddMachine
    ) -> None:
        add_machine("twofold", "10.78.9.28", "10.78.9.29", join=join).start_daemon()
        server.crawl(BLOCK)
        host = server.host("twofold")
        assert host["trust"] == "owned"
        assert set(host["addresses"]) == {"10.78.9.28", "10.78.9.29"}
        server.crawl(BLOCK)
        assert server.host("twofold")["problem"] == "libvirt_down"  # and no copy of itself
        assert set(server.host("twofold")["addresses"]) == {"10.78.9.28", "10.78.9.29"}


class TestRetired:
    def test_it_is_not_dialled_and_comes_back_only_by_approval(
        self, site: Lab, server: Server, join: str, add_machine: AddMachine
    ) -> None:
        pensioner = add_machine("pensioner", "10.78.9.30", join=join)
        pensioner.start_daemon()
        server.crawl(BLOCK)
        host = server.host("pensioner")
        path = f"hosts/{host['id']}"
        assert server.ask("POST", f"{path}/retire/")["trust"] == "retired"
        wait_for(lambda: server.host("pensioner")["problem"] == "retired_told", "the farewell")
        with watched(site.server) as frames:
            server.crawl(BLOCK, "probe")
            server.ask("POST", f"hosts/{server.host('hv1')['id']}/probe/")
            assert frames.dialled("10.78.9.30") == 0
            assert frames.sent_to("10.78.9.11") > 0
        server.crawl(BLOCK)
        assert server.ask("GET", f"{path}/")["trust"] == "retired"
        by_hand = {"address": "10.78.9.30", "port": DAEMON_PORT}
        assert server.ask("POST", "hosts/", by_hand)["trust"] == "retired"
        server.ask("POST", f"{path}/approve/")
        pensioner.invite(server.join_key())

        def is_back() -> bool:
            server.crawl(BLOCK)
            return bool(server.ask("GET", f"{path}/")["trust"] == "owned")

        # The approval has a worker look at it too, and one enrols at a time.
        wait_for(is_back, "it is owned again", deadline=60)
