"""What breaks, and comes back: each host alone, and without keeping the others waiting."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from tests.lab.hypervisor import Hypervisor
from tests.lab.laboratory import BLOCK, Lab
from tests.lab.machine import wait_for
from tests.lab.server import Server
from tests.lab.slow import dripping

pytestmark = pytest.mark.lab


@pytest.fixture
def broken(site: Lab) -> Hypervisor:
    """The one that a test breaks, and repairs."""
    return site.hypervisors[0]


@contextmanager
def stopped_daemon(hypervisor: Hypervisor, how: signal.Signals = signal.SIGTERM) -> Iterator[None]:
    hypervisor.send("virshmanagerd", how)
    hypervisor.stop("virshmanagerd")
    try:
        yield
    finally:
        hypervisor.start_daemon()


@contextmanager
def hung_daemon(hypervisor: Hypervisor) -> Iterator[None]:
    hypervisor.send("virshmanagerd", signal.SIGSTOP)
    try:
        yield
    finally:
        hypervisor.send("virshmanagerd", signal.SIGCONT)


@contextmanager
def cut_off(hypervisor: Hypervisor) -> Iterator[None]:
    hypervisor.network.ip("link set eth0 down")
    try:
        yield
    finally:
        hypervisor.network.ip("link set eth0 up")


def seen_since(server: Server, names: list[str], before: dict[str, str]) -> bool:
    return all(server.host(name)["last_seen"] > before[name] for name in names)


def probe_while(server: Server, site: Lab, broken: Hypervisor) -> float:
    """Probe; the others must have been heard of within 7 s, whatever the broken one does. Seconds it took.

    They are asked, or their events tell every 5 s that they live.
    """
    others = [hypervisor.name for hypervisor in site.hypervisors if hypervisor is not broken]
    before = {name: server.host(name)["last_seen"] for name in others}
    started = time.monotonic()
    crawl = server.begin_crawl(BLOCK, "probe")
    wait_for(lambda: seen_since(server, others, before), "the others have answered", deadline=7)
    server.end_crawl(crawl)
    return time.monotonic() - started


def probe_until(
    server: Server, site: Lab, broken: Hypervisor, problems: set[str], *, within: float = 20
) -> None:
    """Probe until the broken one has one of these problems; each probe ends within so many seconds.

    For 20 s after the last word of its events a host is not probed: these are not waited for.
    """

    def noticed() -> bool:
        server.age_stream(broken.name, 21)
        assert probe_while(server, site, broken) < within
        return server.host(broken.name)["problem"] in problems

    wait_for(noticed, f"the problem of {broken.name} is one of {problems}", deadline=40)


def wait_until_well(server: Server, name: str) -> None:
    """Wait until a host is online and has no problem; it is probed all the time."""

    def well() -> bool:
        server.crawl(BLOCK, "probe")
        host = server.host(name)
        return (host["status"], host["problem"], host["libvirt"]["alive"]) == ("online", "", True)

    wait_for(well, f"{name} is well again", deadline=30)


class TestDomains:
    def wait_until_shown(self, server: Server, domains: dict[str, str]) -> None:
        """Nobody asks for it: the events of the host tell."""
        wait_for(lambda: server.domains("hv1") == domains, f"{domains} are shown")

    def test_what_virsh_did_shows_by_itself(self, server: Server, broken: Hypervisor) -> None:
        broken.virsh("start", "db1")
        broken.virsh("suspend", "web1")
        self.wait_until_shown(server, {"web1": "paused", "db1": "running"})
        broken.virsh("resume", "web1")
        broken.virsh("destroy", "db1")
        self.wait_until_shown(server, {"web1": "running", "db1": "shutoff"})

    def test_a_defined_domain_appears_and_an_undefined_one_goes(
        self, server: Server, broken: Hypervisor
    ) -> None:
        before = server.domains("hv1")
        xml = broken.virsh("dumpxml", "--inactive", "db1").replace(">db1<", ">guest of honour<")
        kept = [line for line in xml.splitlines() if "<uuid>" not in line and "<mac " not in line]
        broken.write("run/lab/new.xml", "\n".join(kept))
        broken.virsh("define", "/run/lab/new.xml")
        self.wait_until_shown(server, {**before, "guest of honour": "shutoff"})
        broken.virsh("undefine", "guest of honour")
        self.wait_until_shown(server, before)
        # libvirt has said so: that is more than not to be listed, and nothing is left to be shown as missing.
        assert "guest of honour" not in {row["name"] for row in server.everything("domains/")}


class TestLibvirt:
    def test_it_dies_and_comes_back_while_its_host_stays_online(
        self, server: Server, broken: Hypervisor
    ) -> None:
        domains = server.domains("hv1")
        broken.stop("libvirtd", signal.SIGKILL)
        try:
            wait_for(
                lambda: server.host("hv1")["problem"] == "libvirt_down", "it is told that libvirt is down"
            )
            host = server.host("hv1")
            assert (host["status"], host["libvirt"]["alive"]) == ("online", False)
            assert server.domains("hv1") == domains  # the last listing stays
        finally:
            broken.restart_libvirtd()

        wait_until_well(server, "hv1")
        assert server.domains("hv1") == domains

    def test_it_hangs_and_its_host_says_so(self, site: Lab, server: Server, broken: Hypervisor) -> None:
        broken.send("libvirtd", signal.SIGSTOP)
        try:
            probe_until(server, site, broken, {"hypervisor_busy", "libvirt_down", "timed_out"})
        finally:
            broken.send("libvirtd", signal.SIGCONT)
        wait_until_well(server, "hv1")


class TestDaemon:
    @pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
    def test_it_ends_and_comes_back(
        self, site: Lab, server: Server, broken: Hypervisor, how: signal.Signals
    ) -> None:
        server.crawl(BLOCK, "probe")
        with stopped_daemon(broken, how):
            probe_until(server, site, broken, {"unreachable"}, within=8)
        wait_until_well(server, "hv1")
        assert server.host("hv1")["trust"] == "owned"

    @pytest.mark.parametrize("fault", [hung_daemon, cut_off])
    def test_it_goes_silent_and_comes_back(
        self,
        site: Lab,
        server: Server,
        broken: Hypervisor,
        fault: Callable[[Hypervisor], AbstractContextManager[None]],
    ) -> None:
        server.crawl(BLOCK, "probe")  # a connection is kept open: it is the first that hangs
        with fault(broken):
            probe_until(server, site, broken, {"timed_out", "unreachable"})
            server.age("hv1", 31)
            assert server.host("hv1")["status"] == "stale"
            server.age("hv1", 121)
            assert server.host("hv1")["status"] == "offline"
            domains = server.everything(f"domains/?host={server.host('hv1')['id']}")
            assert all(domain["stale"] for domain in domains)
            assert server.crawl(BLOCK, "probe")["counts"]["hypervisors"] == 2

        wait_until_well(server, "hv1")
        assert server.domains("hv1")["web1"] == "running"

    def test_it_hangs_in_the_middle_of_an_answer(self, site: Lab, server: Server, broken: Hypervisor) -> None:
        broken.stop("virshmanagerd")
        try:
            with dripping(broken):
                probe_until(server, site, broken, {"timed_out"})
        finally:
            broken.start_daemon()
        wait_until_well(server, "hv1")
