"""Real guests for tests: one that boots nothing, and one with a shell on a serial line, and a screen.

The lab's own image boots in seconds.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from hypervisors import uuid_of

LAB = Path(__file__).parents[2] / "tests/lab/image.py"


def guest_xml(name: str, *, title: str = "", disk: Path | None = None) -> str:
    """A guest with this disk; without one it finds nothing to boot, and does not react to anything."""
    domain = ET.Element("domain", {"type": "qemu"})
    ET.SubElement(domain, "name").text = name
    ET.SubElement(domain, "uuid").text = uuid_of(name)
    if title:
        ET.SubElement(domain, "title").text = title
    ET.SubElement(domain, "memory", {"unit": "MiB"}).text = "32"
    ET.SubElement(domain, "vcpu").text = "1"
    system = ET.SubElement(domain, "os")
    ET.SubElement(system, "type", {"arch": "x86_64", "machine": "pc"}).text = "hvm"
    ET.SubElement(ET.SubElement(domain, "features"), "acpi")
    devices = ET.SubElement(domain, "devices")
    ET.SubElement(devices, "emulator").text = "/usr/bin/qemu-system-x86_64"
    if disk:
        drive = ET.SubElement(devices, "disk", {"type": "file", "device": "disk"})
        ET.SubElement(drive, "driver", {"name": "qemu", "type": "raw"})
        ET.SubElement(drive, "source", {"file": str(disk)})
        ET.SubElement(drive, "target", {"dev": "hda", "bus": "ide"})
    ET.SubElement(devices, "memballoon", {"model": "none"})
    return ET.tostring(domain, encoding="unicode")


@dataclass(frozen=True)
class Image:
    """What guests boot."""

    kernel: Path
    initramfs: Path

    @classmethod
    def make(cls, folder: Path) -> Image:
        """Make it in a folder; the kernel comes from the lab's cache, or from the distribution."""
        spec = importlib.util.spec_from_file_location("lab_image", LAB)
        assert spec
        assert spec.loader
        lab: Any = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(lab)
        initramfs = folder / "initramfs.gz"
        lab.make_initramfs(initramfs)
        return cls(lab.kernel(), initramfs)

    def xml(
        self,
        name: str,
        uuid: str,
        *,
        serial: str = "pty",
        graphics: str | None = "vnc",
        agent: bool = False,
    ) -> str:
        """A guest's XML, with devices of these types; with the channel of a guest agent, or without."""
        domain = ET.Element("domain", {"type": "qemu"})
        for tag, text in (("name", name), ("uuid", uuid), ("vcpu", "1")):
            ET.SubElement(domain, tag).text = text
        ET.SubElement(domain, "memory", {"unit": "MiB"}).text = "96"
        system = ET.SubElement(domain, "os")
        ET.SubElement(system, "type", {"arch": "x86_64", "machine": "pc"}).text = "hvm"
        ET.SubElement(system, "kernel").text = str(self.kernel)
        ET.SubElement(system, "initrd").text = str(self.initramfs)
        ET.SubElement(system, "cmdline").text = "console=ttyS0 quiet"
        ET.SubElement(ET.SubElement(domain, "features"), "acpi")
        devices = ET.SubElement(domain, "devices")
        ET.SubElement(devices, "emulator").text = "/usr/bin/qemu-system-x86_64"
        ET.SubElement(devices, "serial", {"type": serial})
        if agent:
            channel = ET.SubElement(devices, "channel", {"type": "unix"})
            ET.SubElement(channel, "target", {"type": "virtio", "name": "org.qemu.guest_agent.0"})
        if graphics:
            ET.SubElement(devices, "graphics", {"type": graphics, "listen": "127.0.0.1", "autoport": "yes"})
        ET.SubElement(ET.SubElement(devices, "video"), "model", {"type": "vga"})
        ET.SubElement(devices, "memballoon", {"model": "none"})
        return ET.tostring(domain, encoding="unicode")
