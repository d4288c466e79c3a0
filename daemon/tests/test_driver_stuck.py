"""Calls into libvirt that do not return: who asks is answered in time, and the others all the same."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import libvirt
import pytest
from hypervisors import RUNNING, SHORT, by_name, domain_xml, eventually, fleet, running, uuid_of

from virshmanagerd.driver import Driver
from virshmanagerd.errors import HypervisorBusy, Unavailable


class Stuck:
    """A libvirt call that does not return before the test ends."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, kind: type, name: str, times: int = 1000) -> None:
        self.gate = threading.Event()
        self.calls = 0
        real = getattr(kind, name)

        def call(*arguments: Any) -> Any:
            self.calls += 1
            if self.calls <= times:
                self.gate.wait()
            return real(*arguments)

        monkeypatch.setattr(kind, name, call)


@pytest.fixture
def gates() -> Iterator[list[threading.Event]]:
    gates: list[threading.Event] = []
    yield gates
    for gate in gates:
        gate.set()


def test_a_stuck_call_is_busy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gates: list[threading.Event]
) -> None:
    with running(Driver(fleet(tmp_path, domain_xml("on", state=RUNNING)), limits=SHORT)) as driver:
        gates.append(Stuck(monkeypatch, libvirt.virDomain, "screenshot").gate)
        with pytest.raises(HypervisorBusy):
            driver.screenshot(uuid_of("on"))
        assert list(by_name(driver)) == ["on"]


def test_a_guest_that_hangs_does_not_end_the_process_however_often_it_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gates: list[threading.Event]
) -> None:
    exhausted = threading.Event()
    uri = fleet(tmp_path, domain_xml("on", state=RUNNING))
    limits = dataclasses.replace(SHORT, patience=0.05)
    with running(Driver(uri, limits=limits, on_exhausted=exhausted.set)) as driver:
        gates.append(Stuck(monkeypatch, libvirt.virDomain, "screenshot").gate)
        for _ in range(2 * SHORT.lost):
            with pytest.raises(Unavailable):
                driver.screenshot(uuid_of("on"))
        assert not exhausted.is_set()


def test_a_stuck_domain_does_not_hide_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gates: list[threading.Event]
) -> None:
    with running(Driver(fleet(tmp_path, domain_xml("on"), domain_xml("two")), limits=SHORT)) as driver:
        stuck = Stuck(monkeypatch, libvirt.virConnect, "getAllDomainStats", times=1)
        gates.append(stuck.gate)
        assert sorted(by_name(driver)) == ["on", "two"]
        assert stuck.calls == 2
        assert by_name(driver)["on"]["memory"] == 32 * 2**20


def test_statistics_pass_over_a_stuck_domain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gates: list[threading.Event]
) -> None:
    with running(Driver(fleet(tmp_path, domain_xml("on")), limits=SHORT)) as driver:
        gates.append(Stuck(monkeypatch, libvirt.virConnect, "getAllDomainStats", times=1).gate)
        assert len(driver.stats()) == 1


def test_a_stuck_lease_lookup_costs_only_the_addresses(
    monkeypatch: pytest.MonkeyPatch, gates: list[threading.Event]
) -> None:
    with running(Driver("test:///default", limits=SHORT)) as driver:
        gates.append(Stuck(monkeypatch, libvirt.virDomain, "interfaceAddresses").gate)
        (test,) = (d for d in driver.domains()["domains"] if d["name"] == "test")
        assert driver.domain(test["uuid"])["interfaces"][0]["addresses"] == []


def test_after_a_lost_call_there_is_another_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gates: list[threading.Event]
) -> None:
    with running(Driver(fleet(tmp_path, domain_xml("on", state=RUNNING)), limits=SHORT)) as driver:
        epoch = driver.event_epoch
        gates.append(Stuck(monkeypatch, libvirt.virDomain, "screenshot").gate)
        with pytest.raises(HypervisorBusy):
            driver.screenshot(uuid_of("on"))
        eventually(lambda: driver.event_epoch != epoch)
        assert list(by_name(driver)) == ["on"]


def test_a_silent_host_is_an_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gates: list[threading.Event]
) -> None:
    with running(Driver(fleet(tmp_path, domain_xml("on")), limits=SHORT)) as driver:
        gates.append(Stuck(monkeypatch, libvirt.virConnect, "getInfo").gate)
        facts = driver.host()
        assert not facts["libvirt"]["alive"]
        assert facts["libvirt"]["error"]


def test_what_a_new_libvirtd_takes_long_for_is_asked_once_and_waited_for_by_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gates: list[threading.Event]
) -> None:
    with running(Driver(fleet(tmp_path, domain_xml("on")), limits=SHORT)) as driver:
        stuck = Stuck(monkeypatch, libvirt.virConnect, "getCapabilities")
        gates.append(stuck.gate)
        for _ in range(2 * SHORT.lost):
            eventually(lambda: driver.host()["libvirt"]["alive"])
            assert driver.host()["libvirt"]["hypervisor_version"] is None
        assert stuck.calls == 1
        stuck.gate.set()
        eventually(lambda: driver.host()["libvirt"]["hypervisor_version"])
