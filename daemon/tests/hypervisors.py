"""Hypervisors for tests: libvirt's own test driver, with domains of our choice."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import libvirt
import pytest

from virshmanagerd.driver import Driver, Limits
from virshmanagerd.driver.answers import Domain
from virshmanagerd.errors import LibvirtDown

TEST = "http://libvirt.org/schemas/domain/test/1.0"
RUNNING, PAUSED, SHUTOFF = 1, 3, 5

# Deadlines that a test can wait for.
SHORT = Limits(read=0.3, extra=0.2, bulk=1, bulk_first=0.3, open=0.3, retry_first=0.05, retry_last=0.1)


def domain_xml(
    name: str, *, state: int = SHUTOFF, title: str | None = None, transient: bool = False
) -> ET.Element:
    """A small domain for the test driver."""
    domain = ET.Element("domain", {"type": "test"})
    ET.SubElement(domain, "name").text = name
    ET.SubElement(domain, "uuid").text = uuid_of(name)
    if title is not None:
        ET.SubElement(domain, "title").text = title
    ET.SubElement(domain, "memory", {"unit": "MiB"}).text = "64"
    ET.SubElement(domain, "currentMemory", {"unit": "MiB"}).text = "32"
    ET.SubElement(domain, "vcpu").text = "2"
    ET.SubElement(ET.SubElement(domain, "os"), "type").text = "hvm"
    ET.SubElement(domain, f"{{{TEST}}}runstate").text = str(state)
    if transient:
        ET.SubElement(domain, f"{{{TEST}}}transient").text = "1"
    return domain


def uuid_of(name: str) -> str:
    """The UUID that `domain_xml` gives to a domain of this name."""
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, name))


def fleet(folder: Path, *domains: ET.Element) -> str:
    """A URI of the test driver with exactly these domains."""
    node = ET.Element("node")
    node.extend(domains)
    path = folder / "node.xml"
    path.write_bytes(ET.tostring(node))
    return f"test://{path}"


@contextmanager
def running(driver: Driver, *, connected: bool = True) -> Iterator[Driver]:
    """The driver, started, and stopped at the end."""
    driver.start()
    try:
        if connected:
            eventually(lambda: answers(driver))
        yield driver
    finally:
        driver.stop()


def answers(driver: Driver) -> bool:
    """Whether the driver is connected."""
    try:
        driver.domains()
    except LibvirtDown:
        return False
    return True


def eventually(condition: Callable[[], object], seconds: float = 10) -> None:
    """Wait until the condition holds; fail when it does not in time."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def fails(monkeypatch: pytest.MonkeyPatch, kind: type, name: str, code: int) -> None:
    """Let a libvirt call fail with this code."""

    def call(*_arguments: Any) -> None:
        error = libvirt.libvirtError("it failed")
        error.err = (code, 0, "it\x00 failed", 2, None, None, None, 0, 0)
        raise error

    monkeypatch.setattr(kind, name, call)


def by_name(driver: Driver) -> dict[str, Domain]:
    """The domains that are listed."""
    return {domain["name"]: domain for domain in driver.domains()["domains"]}


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[Driver]:
    """Three domains: `on` runs, `off` does not, `brief` is transient and paused."""
    uri = fleet(
        tmp_path,
        domain_xml("on", state=RUNNING, title="The first"),
        domain_xml("off"),
        domain_xml("brief", state=PAUSED, transient=True),
    )
    with running(Driver(uri)) as driver:
        yield driver


@pytest.fixture
def outside() -> Iterator[libvirt.virConnect]:
    """Somebody else's connection to the hypervisor `test:///default`."""
    connection = libvirt.open("test:///default")
    yield connection
    for domain in connection.listAllDomains():
        if domain.name() != "test":
            if domain.isActive():
                domain.destroy()
            domain.undefine()


@pytest.fixture
def watching(outside: libvirt.virConnect) -> Iterator[Driver]:
    with running(Driver("test:///default")) as driver:
        yield driver
