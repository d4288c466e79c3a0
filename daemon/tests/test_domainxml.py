from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from virshmanagerd import domainxml
from virshmanagerd.domainxml import Details, Summary
from virshmanagerd.errors import InvalidXML

FULL = """
<domain type='qemu' id='7'>
  <name>web</name>
  <title>The web server</title>
  <description>First line.
Second line.</description>
  <metadata>
    <v:tags xmlns:v="urn:virshmanager:domain:1">
      <v:tag>web</v:tag><v:tag> prod </v:tag><v:tag>web</v:tag>
    </v:tags>
    <o:tags xmlns:o="urn:other"><o:tag>not ours</o:tag></o:tags>
  </metadata>
  <memory unit='MiB'>512</memory>
  <currentMemory>262144</currentMemory>
  <vcpu placement='static' current='2'>4</vcpu>
  <os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type></os>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2'/><source file='/images/web.qcow2'/>
      <target dev='vda' bus='virtio'/><boot order='2'/>
    </disk>
    <disk type='file' device='cdrom'><target dev='sda' bus='sata'/><readonly/><boot order='1'/></disk>
    <disk type='network'><source protocol='rbd' name='pool/image'/><target dev='vdb'/></disk>
    <disk type='volume'><source pool='fast' volume='web-data'/><target dev='vdc'/></disk>
    <disk type='block'><source dev='/dev/vg/web'/><target dev='vdd'/></disk>
    <interface type='network'>
      <mac address='52:54:00:00:00:01'/><source network='default' bridge='virbr0'/>
      <target dev='vnet3'/><model type='virtio'/><boot order='3'/>
    </interface>
    <interface type='bridge'><mac address='52:54:00:00:00:02'/><source bridge='br0'/></interface>
    <interface type='user'/>
    <serial type='pty'><target port='0'/></serial>
    <console type='pty'><target type='serial' port='0'/></console>
    <console type='pty'><target type='virtio' port='1'/></console>
    <graphics type='vnc' port='5901' autoport='yes' listen='127.0.0.1'/>
    <graphics type='spice' autoport='yes' port='-1'><listen type='address' address='::1'/></graphics>
  </devices>
</domain>
"""


def summary(text: str) -> Summary:
    return domainxml.summary(domainxml.parse(text))


def details(text: str) -> Details:
    return domainxml.details(domainxml.parse(text))


def test_another_document_is_refused() -> None:
    with pytest.raises(InvalidXML):
        domainxml.parse("<network/>")
    with pytest.raises(InvalidXML):
        domainxml.parse("<!DOCTYPE domain><domain/>")


def test_an_empty_domain_has_no_facts() -> None:
    assert summary("<domain/>") == {
        "title": None,
        "description": None,
        "tags": [],
        "vcpus": None,
        "memory": None,
        "max_memory": None,
    }
    assert details("<domain/>") == {
        "disks": [],
        "interfaces": [],
        "graphics": [],
        "consoles": [],
        "boot": [],
        "machine": None,
        "arch": None,
    }


@pytest.mark.parametrize("number", ["", "many", "-1", "1.5", "1e9", "٣", "9" * 5000])
def test_what_is_no_number_is_left_out(number: str) -> None:
    read = summary(f"<domain><vcpu>{number}</vcpu><memory>{number}</memory></domain>")
    assert (read["vcpus"], read["memory"]) == (None, None)


def test_a_huge_number_stays_a_number_of_64_bits() -> None:
    read = summary("<domain><memory unit='EiB'>999999999</memory></domain>")
    assert read["memory"] == 2**63 - 1


@pytest.mark.parametrize(
    ("unit", "size"),
    [("b", 1), ("KB", 1000), ("k", 1024), ("KiB", 1024), ("M", 2**20), ("GB", 10**9), ("TiB", 2**40)],
)
def test_memory_has_libvirts_units(unit: str, size: int) -> None:
    assert summary(f"<domain><memory unit='{unit}'>3</memory></domain>")["memory"] == 3 * size


def test_an_unknown_unit_is_no_size() -> None:
    assert summary("<domain><memory unit='parsec'>3</memory></domain>")["memory"] is None


@pytest.mark.attack("Hostile guest")
def test_hostile_text_is_capped_and_stripped() -> None:
    read = summary(
        f"<domain><title>a&#x9b;b{'x' * 500_000}</title><description>a\n&#x85;b</description>"
        f"<metadata><tags xmlns='urn:virshmanager:domain:1'>{'<tag/>' * 50}<tag>{'y' * 500}</tag></tags>"
        "</metadata></domain>"
    )
    assert read["title"] == "ab" + "x" * (domainxml.TITLE - 2)
    assert read["description"] == "a\nb"
    assert read["tags"] == ["y" * domainxml.WORD]


@pytest.mark.attack("Hostile guest")
def test_lists_are_capped() -> None:
    tags = "".join(f"<tag>{n}</tag>" for n in range(1000))
    disks = "<disk/>" * 1000
    text = (
        f"<domain><metadata><tags xmlns='urn:virshmanager:domain:1'>{tags}</tags></metadata>"
        f"<devices>{disks}</devices></domain>"
    )
    assert len(summary(text)["tags"]) == domainxml.MAX_TAGS
    assert len(details(text)["disks"]) == domainxml.MAX_DEVICES


@given(st.text(), st.text())
def test_any_attribute_is_read(name: str, value: str) -> None:
    root = domainxml.parse(FULL)
    for element in root.iter():
        element.attrib = dict.fromkeys(element.attrib, value)
        element.text = name
    domainxml.summary(root)
    domainxml.details(root)


def test_the_summary_is_read() -> None:
    assert summary(FULL) == {
        "title": "The web server",
        "description": "First line.\nSecond line.",
        "tags": ["web", "prod"],
        "vcpus": 2,
        "memory": 256 * 2**20,
        "max_memory": 512 * 2**20,
    }


def test_disks_are_read() -> None:
    disks = {disk["target"]: disk for disk in details(FULL)["disks"]}
    assert disks["vda"] == {
        "target": "vda",
        "bus": "virtio",
        "device": "disk",
        "type": "file",
        "source": "/images/web.qcow2",
        "format": "qcow2",
        "readonly": False,
    }
    assert disks["sda"]["source"] is None
    assert disks["sda"]["readonly"]
    sources = {target: disk["source"] for target, disk in disks.items()}
    assert sources["vdb"] == "rbd:pool/image"
    assert sources["vdc"] == "fast/web-data"
    assert sources["vdd"] == "/dev/vg/web"


def test_interfaces_are_read() -> None:
    first, second, third = details(FULL)["interfaces"]
    assert first == {
        "mac": "52:54:00:00:00:01",
        "type": "network",
        "source": "default",
        "model": "virtio",
        "target": "vnet3",
        "addresses": [],
    }
    assert second["source"] == "br0"
    assert third["type"] == "user"
    assert third["mac"] is None


def test_screens_and_consoles_are_read() -> None:
    read = details(FULL)
    assert read["graphics"] == [
        {"type": "vnc", "listen": "127.0.0.1", "port": 5901},
        {"type": "spice", "listen": "::1", "port": None},
    ]
    assert read["consoles"] == [
        {"type": "pty", "target": "serial"},
        {"type": "pty", "target": "virtio"},
    ]


def test_a_serial_port_is_a_console_where_libvirt_made_none() -> None:
    text = "<domain><devices><serial type='pty'><target port='0'/></serial></devices></domain>"
    assert details(text)["consoles"] == [{"type": "pty", "target": "serial"}]


def test_machine_and_boot_order_are_read() -> None:
    read = details(FULL)
    assert (read["machine"], read["arch"]) == ("pc-q35-7.2", "x86_64")
    assert read["boot"] == ["cdrom", "hd", "network"]


def test_boot_devices_of_the_firmware_come_first() -> None:
    text = "<domain><os><boot dev='network'/><boot dev='hd'/><boot/></os></domain>"
    assert details(text)["boot"] == ["network", "hd"]


@pytest.mark.skipif(shutil.which("virt-install") is None, reason="virt-install is not installed")
@pytest.mark.parametrize("install", [["--import"], ["--pxe"], ["--cdrom", "/dev/null"]])
def test_what_virt_install_writes_is_read(install: list[str], tmp_path: Path) -> None:
    command = [
        "virt-install",
        "--connect",
        "test:///default",
        "--name",
        "real",
        "--memory",
        "128",
        "--vcpus",
        "2",
    ]
    command += ["--osinfo", "linux2022", "--network", "network=default,mac=52:54:00:12:34:56"]
    command += ["--disk", "none"] if "--pxe" in install else ["--disk", f"{tmp_path}/disk.img,size=0.001"]
    command += ["--metadata", "title=A & B,description=<it>", "--print-xml", "1", *install]
    text = subprocess.run(command, check=True, capture_output=True, text=True, timeout=50).stdout
    read = summary(text)
    assert (read["title"], read["description"]) == ("A & B", "<it>")
    assert (read["vcpus"], read["memory"]) == (2, 128 * 2**20)
    assert details(text)["interfaces"][0]["mac"] == "52:54:00:12:34:56"
    assert details(text)["boot"]
