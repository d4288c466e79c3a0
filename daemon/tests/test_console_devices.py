"""Which console a domain has, read from its XML on libvirt's own test driver."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import libvirt
import pytest
from hypervisors import RUNNING, domain_xml, eventually, fleet, running, uuid_of

from virshmanagerd.driver import Driver, End, Line, SerialConsole, consoles
from virshmanagerd.errors import (
    DriverError,
    NoSerialDevice,
    NoSuchDomain,
    NotSupported,
    NoVncDevice,
    WrongState,
)


class Nobody:
    """Listens to no console."""

    def output(self, data: bytes) -> None: ...

    def written(self) -> None: ...

    def ended(self, end: End) -> None: ...


def domain(name: str, *devices: tuple[str, str], state: int = RUNNING) -> ET.Element:
    element = domain_xml(name, state=state)
    below = ET.SubElement(element, "devices")
    for tag, kind in devices:
        device = ET.SubElement(below, tag, {"type": kind})
        if kind == "tcp":
            ET.SubElement(device, "source", {"mode": "bind", "host": "127.0.0.1", "service": "4555"})
    return element


def refused(folder: Path, element: ET.Element, kind: str) -> DriverError:
    name = uuid_of(element.findtext("name") or "")
    with running(Driver(fleet(folder, element))) as driver, pytest.raises(DriverError) as refusal:
        driver.open_serial(name, Nobody(), take=False) if kind == "serial" else driver.open_vnc(name)
    return refusal.value


@pytest.mark.parametrize("kind", ["serial", "vnc"])
def test_a_domain_that_is_off_has_no_console(tmp_path: Path, kind: str) -> None:
    element = domain("off", ("serial", "pty"), ("graphics", "vnc"), state=5)
    assert isinstance(refused(tmp_path, element, kind=kind), WrongState)


def test_what_names_no_domain(tmp_path: Path) -> None:
    with running(Driver(fleet(tmp_path, domain("on")))) as driver:
        for name in ("on", uuid_of("nobody")):
            with pytest.raises(NoSuchDomain):
                driver.open_vnc(name)
            with pytest.raises(NoSuchDomain):
                driver.open_serial(name, Nobody(), take=False)


def test_no_serial_device_at_all(tmp_path: Path) -> None:
    refusal = refused(tmp_path, domain("on", ("graphics", "vnc")), kind="serial")
    assert isinstance(refusal, NoSerialDevice)
    assert "<serial type='pty'>" in refusal.detail
    assert "none at all" in refusal.detail


def test_a_serial_device_that_libvirt_cannot_open(tmp_path: Path) -> None:
    refusal = refused(tmp_path, domain("on", ("serial", "tcp")), kind="serial")
    assert isinstance(refusal, NoSerialDevice)
    assert "<serial type='tcp'>" in refusal.detail


def test_spice_is_named(tmp_path: Path) -> None:
    refusal = refused(tmp_path, domain("on", ("graphics", "spice")), kind="vnc")
    assert isinstance(refusal, NoVncDevice)
    assert "it has SPICE only" in refusal.detail


@pytest.mark.parametrize("kind", ["serial", "vnc"])
def test_a_hypervisor_without_consoles(tmp_path: Path, kind: str) -> None:
    """The test driver's domains have devices, and nothing behind them."""
    element = domain("on", ("serial", "pty"), ("graphics", "vnc"))
    assert isinstance(refused(tmp_path, element, kind=kind), NotSupported)


class Ends(Nobody):
    """Hears how a console ended."""

    def __init__(self) -> None:
        self.heard: list[End] = []

    def ended(self, end: End) -> None:
        self.heard.append(end)


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Driver, SerialConsole, Ends]]:
    """The console of the domain `on`, as if the hypervisor had opened it."""
    ends = Ends()
    monkeypatch.setattr(SerialConsole, "open", lambda *_, **__: None)
    monkeypatch.setattr(consoles, "SETTLE_SECONDS", 0.1)
    with running(Driver(fleet(tmp_path, domain("on", ("serial", "pty"))))) as driver:
        yield driver, driver.open_serial(uuid_of("on"), ends, take=False), ends


def test_another_has_taken_the_console_of_a_guest_that_runs(
    opened: tuple[Driver, SerialConsole, Ends],
) -> None:
    _, console, ends = opened
    console._end()
    eventually(lambda: ends.heard == [End.CUT])


def test_a_guest_that_was_started_again_is_another_one(opened: tuple[Driver, SerialConsole, Ends]) -> None:
    """However short it was off: nobody has taken its console."""
    driver, console, ends = opened
    found = driver.session(Line.READ).connection.lookupByName("on")
    found.destroy()
    found.create()
    console._end()
    eventually(lambda: ends.heard)
    assert ends.heard == [End.STOPPED]


def test_a_console_whose_own_connection_broke_was_not_taken(
    opened: tuple[Driver, SerialConsole, Ends], monkeypatch: pytest.MonkeyPatch
) -> None:
    driver, console, ends = opened
    console._connection = libvirt.open("test:///default")
    monkeypatch.setattr(
        libvirt.virConnect, "isAlive", lambda connection: connection is not console._connection
    )
    console._end()
    eventually(lambda: ends.heard)
    assert ends.heard == [End.LOST]
    assert driver.facts(uuid_of("on")).active  # type: ignore[union-attr]


def test_guests_that_do_not_read_hold_up_nobody_elses_end() -> None:
    """What is typed for such a guest keeps a thread."""
    gate, told = threading.Event(), threading.Event()

    class Stuck(Nobody):
        def written(self) -> None:
            gate.wait(20)

    try:
        for _ in range(40):
            SerialConsole(Stuck(), lambda: True).type(b"x")
        consoles.find_end(lambda: False, lambda _end: told.set())
        assert told.wait(5)
    finally:
        gate.set()
