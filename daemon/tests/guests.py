"""A real guest for tests: a shell on a serial line, and a screen. The lab's own image boots in seconds."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

LAB = Path(__file__).parents[2] / "tests/lab/image.py"


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

    def xml(self, name: str, uuid: str, *, serial: str = "pty", graphics: str | None = "vnc") -> str:
        """A guest's XML, with devices of these types."""
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
        if graphics:
            ET.SubElement(devices, "graphics", {"type": graphics, "listen": "127.0.0.1", "autoport": "yes"})
        ET.SubElement(ET.SubElement(devices, "video"), "model", {"type": "vga"})
        ET.SubElement(devices, "memballoon", {"model": "none"})
        return ET.tostring(domain, encoding="unicode")
