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
    """Probe; the others must have answered within 3 s, whatever the broken one does. Seconds of the crawl."""
    others = [hypervisor.name for hypervisor in site.hypervisors if hypervisor is not broken]
    before = {name: server.host(name)["last_seen"] for name in others}
    started = time.monotonic()
    crawl = server.begin_crawl(BLOCK, "probe")
    wait_for(lambda: seen_since(server, others, before), "the others have answered", deadline=3)
    server.end_crawl(crawl)
    return time.monotonic() - started


class TestDomains:
    def test_what_virsh_did_shows_after_the_next_probe(self, server: Server, broken: Hypervisor) -> None:
        broken.virsh("start", "db1")
        broken.virsh("suspend", "web1")
        server.crawl(BLOCK, "probe")
        assert server.domains("hv1") == {"web1": "paused", "db1": "running"}
        broken.virsh("resume", "web1")
        broken.virsh("destroy", "db1")
        server.crawl(BLOCK, "probe")
        assert server.domains("hv1") == {"web1": "running", "db1": "shutoff"}

    def test_a_defined_domain_appears_and_an_undefined_one_is_missing(
        self, server: Server, broken: Hypervisor
    ) -> None:
        xml = broken.virsh("dumpxml", "--inactive", "db1").replace(">db1<", ">guest of honour<")
        kept = [line for line in xml.splitlines() if "<uuid>" not in line and "<mac " not in line]
        broken.write("run/lab/new.xml", "\n".join(kept))
        broken.virsh("define", "/run/lab/new.xml")
        server.crawl(BLOCK, "probe")
        assert server.domains("hv1")["guest of honour"] == "shutoff"
        broken.virsh("undefine", "guest of honour")
        server.crawl(BLOCK, "probe")
        assert "guest of honour" not in server.domains("hv1")
        gone = [row for row in server.everything("domains/") if row["name"] == "guest of honour"]
        assert [row["missing_since"] is None for row in gone] == [False]


class TestLibvirt:
    def test_it_dies_and_comes_back_while_its_host_stays_online(
        self, server: Server, broken: Hypervisor
    ) -> None:
        domains = server.domains("hv1")
        broken.stop("libvirtd", signal.SIGKILL)
        try:
            server.crawl(BLOCK, "probe")
            host = server.host("hv1")
            assert (host["status"], host["problem"]) == ("online", "libvirt_down")
            assert host["libvirt"]["alive"] is False
            assert server.domains("hv1") == domains  # the last listing stays
        finally:
            broken.restart_libvirtd()

        def well() -> bool:
            server.crawl(BLOCK, "probe")
            return bool(server.host("hv1")["libvirt"]["alive"])

        wait_for(well, "the daemon has found its libvirt again", deadline=20)
        assert server.host("hv1")["problem"] == ""
        assert server.domains("hv1") == domains

    def test_it_hangs_and_its_host_says_so(self, site: Lab, server: Server, broken: Hypervisor) -> None:
        broken.send("libvirtd", signal.SIGSTOP)
        try:
            assert probe_while(server, site, broken) < 20
            assert server.host("hv1")["problem"]
        finally:
            broken.send("libvirtd", signal.SIGCONT)

        def well() -> bool:
            server.crawl(BLOCK, "probe")
            return not server.host("hv1")["problem"]

        wait_for(well, "libvirt answers again", deadline=20)


class TestDaemon:
    @pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
    def test_it_ends_and_comes_back(
        self, site: Lab, server: Server, broken: Hypervisor, how: signal.Signals
    ) -> None:
        server.crawl(BLOCK, "probe")
        with stopped_daemon(broken, how):
            assert probe_while(server, site, broken) < 8
            assert server.host("hv1")["problem"] == "unreachable"
        server.crawl(BLOCK, "probe")
        host = server.host("hv1")
        assert (host["status"], host["problem"], host["trust"]) == ("online", "", "owned")

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
            assert probe_while(server, site, broken) < 20
            assert server.host("hv1")["problem"] in {"timed_out", "unreachable"}
            server.age("hv1", 31)
            assert server.host("hv1")["status"] == "stale"
            server.age("hv1", 121)
            assert server.host("hv1")["status"] == "offline"
            domains = server.everything(f"domains/?host={server.host('hv1')['id']}")
            assert all(domain["stale"] for domain in domains)
            assert server.crawl(BLOCK, "probe")["counts"]["hypervisors"] == 2

        def well() -> bool:
            server.crawl(BLOCK, "probe")
            return str(server.host("hv1")["status"]) == "online"

        wait_for(well, "it is found again", deadline=30)
        assert server.host("hv1")["problem"] == ""
        assert server.domains("hv1")["web1"] == "running"

    def test_it_hangs_in_the_middle_of_an_answer(self, site: Lab, server: Server, broken: Hypervisor) -> None:
        broken.stop("virshmanagerd")
        try:
            with dripping(broken):
                assert probe_while(server, site, broken) < 20
                assert server.host("hv1")["problem"] == "timed_out"
        finally:
            broken.start_daemon()
        server.crawl(BLOCK, "probe")
        assert server.host("hv1")["problem"] == ""
