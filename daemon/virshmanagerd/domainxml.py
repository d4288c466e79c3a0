"""Facts read from libvirt's domain XML (https://libvirt.org/formatdomain.html).

Pure functions on an element tree. Nothing in the XML is trusted: what is
missing or of the wrong kind becomes None or is left out, text is stripped of
control characters, and text and lists are capped.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from types import MappingProxyType
from typing import Final, TypedDict
from xml.etree.ElementTree import Element

from virshmanagerd import safexml
from virshmanagerd.errors import InvalidXML
from virshmanagerd.text import clean

TAGS: Final = "{urn:virshmanager:domain:1}"

MAX_DEVICES: Final = 256  # of each kind
MAX_TAGS: Final = 64
WORD: Final = 64
TITLE: Final = 255
PATH: Final = 4096
DESCRIPTION: Final = 8192
LARGEST: Final = 2**63 - 1
DIGITS: Final = len(str(LARGEST))

# Units of memory in bytes, as libvirt reads them.
UNITS: Final = MappingProxyType(
    {"b": 1, "bytes": 1}
    | {letter: 1024**power for power, letter in enumerate("KMGTPE", 1)}
    | {f"{letter}iB": 1024**power for power, letter in enumerate("KMGTPE", 1)}
    | {f"{letter}B": 1000**power for power, letter in enumerate("KMGTPE", 1)}
    | {"k": 1024}
)


class Summary(TypedDict):
    """What a list shows of a domain. Memory in bytes."""

    title: str | None
    description: str | None
    tags: list[str]
    vcpus: int | None
    memory: int | None
    max_memory: int | None


class Disk(TypedDict):
    """One disk. `source` is a path, `pool/volume`, `protocol:name`, or None for an empty drive."""

    target: str | None
    bus: str | None
    device: str
    type: str | None
    source: str | None
    format: str | None
    readonly: bool


class Interface(TypedDict):
    """One network interface. `target` is the device on the host, while running.

    `addresses` are not in the XML: the driver asks libvirt for them.
    """

    mac: str | None
    type: str | None
    source: str | None
    model: str | None
    target: str | None
    addresses: list[str]


class Graphics(TypedDict):
    """One display. `port` is None until libvirt has given it one."""

    type: str | None
    listen: str | None
    port: int | None


class Console(TypedDict):
    """One console: `type` is how the host sees it, `target` how the guest does."""

    type: str | None
    target: str | None


class Details(TypedDict):
    """What a domain's own page shows beside the summary."""

    disks: list[Disk]
    interfaces: list[Interface]
    graphics: list[Graphics]
    consoles: list[Console]
    boot: list[str]
    machine: str | None
    arch: str | None


def parse(xml: str) -> Element:
    """The `<domain>` element. Raises InvalidXML."""
    root = safexml.parse(xml)
    if root.tag != "domain":
        raise InvalidXML("the XML does not describe a domain")
    return root


def summary(domain: Element) -> Summary:
    """Title, description, tags and sizes."""
    vcpu = domain.find("vcpu")
    maximum = _memory(domain.find("memory"))
    current = _memory(domain.find("currentMemory"))
    return Summary(
        title=_text(domain, "title", TITLE),
        description=_text(domain, "description", DESCRIPTION, lines=True),
        tags=_tags(domain),
        vcpus=None if vcpu is None else _number(vcpu.get("current") or vcpu.text),
        memory=maximum if current is None else current,
        max_memory=maximum,
    )


def details(domain: Element) -> Details:
    """Devices, boot order and machine."""
    system = domain.find("os/type")
    return Details(
        disks=[_disk(e) for e in _devices(domain, "disk")],
        interfaces=[_interface(e) for e in _devices(domain, "interface")],
        graphics=[_graphics(e) for e in _devices(domain, "graphics")],
        consoles=_consoles(domain),
        boot=_boot(domain),
        machine=_attribute(system, "machine"),
        arch=_attribute(system, "arch"),
    )


def _devices(domain: Element, name: str) -> Iterator[Element]:
    return islice(domain.iterfind(f"devices/{name}"), MAX_DEVICES)


def _disk(disk: Element) -> Disk:
    target = disk.find("target")
    return Disk(
        target=_attribute(target, "dev"),
        bus=_attribute(target, "bus"),
        device=_attribute(disk, "device") or "disk",
        type=_attribute(disk, "type"),
        source=_disk_source(disk.find("source")),
        format=_attribute(disk.find("driver"), "type"),
        readonly=disk.find("readonly") is not None,
    )


def _disk_source(source: Element | None) -> str | None:
    if source is None:
        return None
    for name in ("file", "dev", "dir"):
        if path := _attribute(source, name, PATH):
            return path
    for first, second, joint in (("pool", "volume", "/"), ("protocol", "name", ":")):
        if source.get(first):
            parts = (_attribute(source, name, PATH) for name in (first, second))
            return joint.join(filter(None, parts))
    return None


def _interface(interface: Element) -> Interface:
    source = interface.find("source")
    names = ("network", "bridge", "dev", "path", "address")
    sources = (_attribute(source, name, PATH) for name in names)
    return Interface(
        mac=_attribute(interface.find("mac"), "address"),
        type=_attribute(interface, "type"),
        source=next(filter(None, sources), None),
        model=_attribute(interface.find("model"), "type"),
        target=_attribute(interface.find("target"), "dev"),
        addresses=[],
    )


def _graphics(graphics: Element) -> Graphics:
    port = _number(graphics.get("port"))
    return Graphics(
        type=_attribute(graphics, "type"),
        listen=_attribute(graphics, "listen") or _attribute(graphics.find("listen"), "address"),
        port=port or None,
    )


def _consoles(domain: Element) -> list[Console]:
    # libvirt shows the first serial port as a console too; XML it has not seen yet may not.
    elements = [*_devices(domain, "console")] or [*_devices(domain, "serial")]
    return [
        Console(type=_attribute(e, "type"), target=_attribute(e.find("target"), "type") or "serial")
        for e in elements
    ]


def _boot(domain: Element) -> list[str]:
    named = [_attribute(e, "dev") for e in islice(domain.iterfind("os/boot"), MAX_DEVICES)]
    return [device for device in named if device] or _boot_by_device(domain)


def _boot_by_device(domain: Element) -> list[str]:
    """The order given at the devices themselves, in the words of `<boot dev=...>`."""
    devices = domain.find("devices")
    ordered = []
    for device in islice(devices if devices is not None else (), 4 * MAX_DEVICES):
        boot = device.find("boot")
        order = None if boot is None else _number(boot.get("order"))
        if order is not None:
            ordered.append((order, _boot_word(device)))
    return [word for _, word in sorted(ordered)]


def _boot_word(device: Element) -> str:
    if device.tag == "disk":
        return {"cdrom": "cdrom", "floppy": "fd"}.get(device.get("device", "disk"), "hd")
    return "network" if device.tag == "interface" else clean(device.tag, WORD)


def _tags(domain: Element) -> list[str]:
    elements = islice(domain.iterfind(f"metadata/{TAGS}tags/{TAGS}tag"), MAX_TAGS)
    tags = (clean((e.text or "").strip(), WORD) for e in elements)
    return list(dict.fromkeys(filter(None, tags)))


def _text(domain: Element, name: str, limit: int, *, lines: bool = False) -> str | None:
    return clean((domain.findtext(name) or "").strip(), limit, lines=lines) or None


def _attribute(element: Element | None, name: str, limit: int = WORD) -> str | None:
    return None if element is None else clean(element.get(name, ""), limit) or None


def _number(text: str | None) -> int | None:
    """A whole number that is not negative, else None: libvirt's -1 means "not yet"."""
    digits = (text or "").strip()
    if not (digits.isascii() and digits.isdigit() and len(digits) <= DIGITS):
        return None
    return min(int(digits), LARGEST)


def _memory(element: Element | None) -> int | None:
    if element is None:
        return None
    number, unit = _number(element.text), UNITS.get(element.get("unit", "KiB"))
    return None if number is None or unit is None else min(number * unit, LARGEST)
