"""The driver against a real libvirtd with a real QEMU guest, private to this test."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from hypervisors import answers, eventually, running
from privatelibvirt import HOST_UUID, MARKS, Libvirtd

from virshmanagerd import png
from virshmanagerd.driver import Driver, Limits
from virshmanagerd.errors import LibvirtDown, Unavailable, WrongState

pytestmark = MARKS

UUID = "b0f3c1de-7d5c-4a36-9d0e-6c1f4d9be001"
DOMAIN = f"""
<domain type='qemu'>
  <name>tiny</name><uuid>{UUID}</uuid><title>Tiny</title>
  <memory unit='MiB'>32</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <serial type='pty'/>
    <video><model type='vga'/></video>
    <memballoon model='virtio'/>
  </devices>
</domain>
"""
LIMITS = Limits(retry_first=0.1, retry_last=0.5)


def fail() -> None:
    raise AssertionError("too many calls were lost")


def alive(driver: Driver) -> bool:
    return driver.host()["libvirt"]["alive"]


def test_libvirt_comes_goes_and_comes_again(libvirtd: Libvirtd) -> None:
    with running(Driver(libvirtd.uri, limits=LIMITS, on_exhausted=fail), connected=False) as driver:
        eventually(lambda: "libvirt-sock" in (driver.host()["libvirt"]["error"] or ""))
        libvirtd.start()
        eventually(lambda: alive(driver), 30)
        epoch = driver.event_epoch
        libvirtd.virsh("list")

        libvirtd.kill()
        eventually(lambda: not alive(driver), 5)
        with pytest.raises(LibvirtDown):
            driver.domains()

        libvirtd.start()
        eventually(lambda: alive(driver), 30)
        assert driver.event_epoch != epoch
        listing = driver.domains()
        assert (listing["event_epoch"], listing["domains"]) == (driver.event_epoch, [])


def test_a_libvirt_that_stops_answering_is_noticed_and_comes_back(libvirtd: Libvirtd) -> None:
    limits = Limits(read=0.3, bulk=0.5, bulk_first=0.3, open=1, retry_first=0.1, retry_last=0.5)
    libvirtd.start()
    with running(Driver(libvirtd.uri, limits=limits, on_exhausted=fail), connected=False) as driver:
        eventually(lambda: alive(driver), 30)
        libvirtd.send(signal.SIGSTOP)
        with pytest.raises(Unavailable):
            driver.domains()
        assert not alive(driver)
        libvirtd.send(signal.SIGCONT)
        eventually(lambda: alive(driver))


def test_a_guest_is_seen_from_its_definition_to_its_end(libvirtd: Libvirtd, tmp_path: Path) -> None:
    (tmp_path / "tiny.xml").write_text(DOMAIN)
    libvirtd.start()
    with running(Driver(libvirtd.uri, on_exhausted=fail), connected=False) as driver:
        eventually(lambda: answers(driver), 30)
        eventually(lambda: driver.host()["uuid"] == HOST_UUID, 30)

        libvirtd.virsh("define", str(tmp_path / "tiny.xml"))
        (listed,) = driver.domains()["domains"]
        assert (listed["uuid"], listed["state"], listed["title"]) == (UUID, "shutoff", "Tiny")
        assert (listed["vcpus"], listed["memory"]) == (1, 32 * 2**20)
        with pytest.raises(WrongState):
            driver.screenshot(UUID)

        libvirtd.virsh("start", "tiny")
        (listed,) = driver.domains()["domains"]
        assert (listed["state"], listed["reason"]) == ("running", "booted")
        one = driver.domain(UUID)
        assert {key: one[key] for key in listed} == listed  # type: ignore[literal-required]
        assert one["consoles"] == [{"type": "pty", "target": "serial"}]
        assert driver.screenshot(UUID).startswith(png.SIGNATURE)
        (entry,) = driver.stats()
        assert entry["stats"]["cpu.time"]

        libvirtd.virsh("desc", "tiny", "--live", "--config", "--title", "Renamed")
        eventually(lambda: driver.domains()["domains"][0]["title"] == "Renamed", 1)

        libvirtd.virsh("destroy", "tiny")
        (listed,) = driver.domains()["domains"]
        assert (listed["state"], listed["reason"]) == ("shutoff", "destroyed")


def test_a_frozen_guest_does_not_hide_its_host(libvirtd: Libvirtd, tmp_path: Path) -> None:
    (tmp_path / "tiny.xml").write_text(DOMAIN)
    libvirtd.start()
    with running(
        Driver(libvirtd.uri, limits=Limits(bulk_first=0.5), on_exhausted=fail), connected=False
    ) as driver:
        # A new libvirtd first tries out its emulators, and holds domains up meanwhile.
        eventually(lambda: driver.host()["libvirt"]["hypervisor_version"], 30)
        libvirtd.virsh("create", str(tmp_path / "tiny.xml"))
        (guest,) = libvirtd.guests()
        os.kill(guest, signal.SIGSTOP)

        begin = time.monotonic()
        for _ in range(6):  # more often than lost calls are allowed
            (listed,) = driver.domains()["domains"]
            assert (listed["uuid"], listed["memory"]) == (UUID, 32 * 2**20)
            assert driver.domain(UUID)["state"] == "running"
            assert driver.stats()[0]["uuid"] == UUID
        assert time.monotonic() - begin < 10

        os.kill(guest, signal.SIGCONT)
        eventually(lambda: driver.stats()[0]["stats"].get("balloon.rss"))
