"""A guest whose agent answers without end, unasked: guests, daemon and server go on as ever."""

from __future__ import annotations

from collections.abc import Iterator

import psutil
import pytest

from tests.lab.hypervisor import Guest, Hypervisor
from tests.lab.laboratory import Lab
from tests.lab.machine import wait_for
from tests.lab.server import Json, Server

# Alone it has to bring up the whole lab.
pytestmark = [pytest.mark.lab, pytest.mark.attack("Hostile guest"), pytest.mark.timeout(240)]

# Of each process, for what it had not done before; the agent says more than this every few seconds.
MOST_GROWTH = 32 * 2**20


@pytest.fixture
def hypervisor(site: Lab) -> Hypervisor:
    """The one that has the guest."""
    return site.hypervisors[0]


@pytest.fixture
def guest(server: Server, hypervisor: Hypervisor) -> Iterator[Guest]:
    """The guest, of which the server knows."""
    guest = Guest("hostile", agent="hear,eager")
    hypervisor.add_guest(guest)
    wait_for(lambda: "the agent is eager" in hypervisor.console(guest), "the guest boots", deadline=60)
    # A stream that was broken again and again, as by the tests before, is tried anew every 15 s.
    wait_for(lambda: server.domains("hv1").get(guest.name) == "running", "the guest is listed", deadline=60)
    yield guest
    if "running" in hypervisor.virsh("domstate", guest.name):
        hypervisor.virsh("destroy", guest.name)
    hypervisor.virsh("undefine", guest.name)


def memory(server: Server, hypervisor: Hypervisor) -> dict[int, int]:
    """What the processes of the server and of the daemon hold, in bytes."""
    machine = psutil.Process(hypervisor.pid).children(recursive=True)
    daemon = [process for process in machine if "virshmanagerd" in " ".join(process.cmdline())]
    whole = [*psutil.Process(server.pid).children(recursive=True), *daemon]
    return {process.pid: process.memory_info().rss for process in whole}


def did(server: Server, name: str, verb: str) -> Json:
    """The operation, as it has ended."""
    [domain] = [row for row in server.everything("domains/") if row["name"] == name]
    operation: Json = server.ask("POST", f"domains/{domain['id']}/{verb}/", Prefer="wait=25")
    return operation


def test_it_stops_when_it_is_told_to_and_nobody_else_notices(
    server: Server, hypervisor: Hypervisor, guest: Guest
) -> None:
    before = memory(server, hypervisor)
    for name, verb in (("db1", "start"), (guest.name, "shutdown"), ("db1", "destroy")):
        assert did(server, name, verb)["state"] == "succeeded", (name, verb)
    assert hypervisor.virsh("domstate", guest.name).strip() == "shut off"
    after = memory(server, hypervisor)
    grown = {pid: after[pid] - before[pid] for pid in before.keys() & after.keys()}
    assert max(grown.values()) < MOST_GROWTH, grown
