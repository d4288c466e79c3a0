"""The event stream of a real libvirtd with a real QEMU guest: from libvirt's callback to the client."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import wires
from authority import Authority
from doors import World
from hypervisors import answers, eventually
from privatelibvirt import MARKS, Libvirtd
from websockets.sync.client import ClientConnection

pytestmark = MARKS

UUID = "b0f3c1de-7d5c-4a36-9d0e-6c1f4d9be002"
DOMAIN = f"""
<domain type='qemu'>
  <name>told</name><uuid>{UUID}</uuid>
  <memory unit='MiB'>32</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <memballoon model='virtio'/>
  </devices>
</domain>
"""


def read(client: ClientConnection) -> Any:
    return json.loads(client.recv(20))


def lifecycle_until(client: ClientConnection, event: str) -> list[Any]:
    """The events in the guest's life, up to this one."""
    told: list[Any] = []
    while not told or told[-1]["event"] != event:
        frame = read(client)
        if frame["type"] == "domain.lifecycle":
            assert frame["uuid"] == UUID
            told.append(frame)
    return told


def test_a_guest_is_told_of_from_its_definition_to_its_end(
    libvirtd: Libvirtd, world: World, authority: Authority, tmp_path: Path
) -> None:
    (tmp_path / "told.xml").write_text(DOMAIN)
    libvirtd.start()
    host = world.owned(authority, dataclasses.replace(world.config(), uri=libvirtd.uri))
    driver = host.daemon.driver
    driver.start()
    try:
        eventually(lambda: answers(driver), 30)
        with wires.client(host, authority.server(), "/v1/events") as client:
            hello = read(client)
            follow(client, libvirtd, tmp_path / "told.xml")
            libvirtd.kill()
            assert (down := read(client))["type"] == "libvirt.down"
            assert down["epoch"] == hello["epoch"]
            libvirtd.start()
            assert [read(client)["type"] for _ in range(2)] == ["libvirt.up", "resync"]
    finally:
        driver.stop()


def follow(client: ClientConnection, libvirtd: Libvirtd, xml: Path) -> None:
    """Lead the guest through its life, and read of it."""
    libvirtd.virsh("define", str(xml))
    (defined,) = lifecycle_until(client, "defined")
    assert (defined["detail"], defined["domain"]["state"]) == ("added", "shutoff")

    libvirtd.virsh("start", "told")
    started = lifecycle_until(client, "started")[-1]
    assert (started["detail"], started["domain"]["persistent"]) == ("booted", True)

    libvirtd.virsh("suspend", "told")
    assert lifecycle_until(client, "suspended")[-1]["domain"]["state"] == "paused"
    libvirtd.virsh("resume", "told")
    assert lifecycle_until(client, "resumed")[-1]["domain"]["state"] == "running"

    libvirtd.virsh("desc", "told", "--live", "--config", "--title", "Renamed")
    while (changed := read(client))["type"] != "domain.changed" or changed["domain"]["title"] != "Renamed":
        pass

    client.send('{"type": "stats", "seconds": 2}')
    while (stats := read(client))["type"] != "domain.stats":
        pass
    client.send('{"type": "stats", "seconds": 0}')
    (sample,) = stats["domains"]
    assert (sample["uuid"], sample["vcpus"], sample["memory"]) == (UUID, 1, 32 * 2**20)
    assert sample["cpu_time_ns"] > 0
    assert stats["host"]["cpu_time_ns"] > 0

    libvirtd.virsh("destroy", "told")
    stopped = lifecycle_until(client, "stopped")[-1]
    assert (stopped["detail"], stopped["domain"]["state"]) == ("destroyed", "shutoff")
    libvirtd.virsh("undefine", "told")
    undefined = lifecycle_until(client, "undefined")[-1]
    removed = read(client)
    assert (removed["type"], removed["uuid"]) == ("domain.removed", UUID)
    assert removed["seq"] == undefined["seq"] + 1
