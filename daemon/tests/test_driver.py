"""The driver's answers, on libvirt's own test driver."""

from __future__ import annotations

import gc
import ipaddress
import threading
import uuid
import weakref
from functools import partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import libvirt
import pytest
from hypervisors import RUNNING, answers, by_name, domain_xml, eventually, fails, fleet, running, uuid_of

from virshmanagerd import png
from virshmanagerd.domainxml import parse
from virshmanagerd.driver import Driver
from virshmanagerd.errors import DriverError, InvalidXML, NoSuchDomain, NotSupported, WrongState


@pytest.mark.parametrize("name", ["", "on", "../host", "00000000-0000-0000-0000-000000000000", "a" * 5000])
def test_what_names_no_domain(driver: Driver, name: str) -> None:
    for ask in (driver.domain, driver.xml, driver.screenshot):
        with pytest.raises(NoSuchDomain):
            ask(name)


def test_a_domain_that_is_off_has_no_screen_and_no_live_xml(driver: Driver) -> None:
    with pytest.raises(WrongState):
        driver.screenshot(uuid_of("off"))
    with pytest.raises(WrongState):
        driver.xml(uuid_of("off"), "live")


def test_a_transient_domain_has_no_inactive_xml(driver: Driver) -> None:
    with pytest.raises(WrongState):
        driver.xml(uuid_of("brief"), "inactive")


def test_libvirts_refusal_keeps_its_message(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    fails(monkeypatch, libvirt.virDomain, "screenshot", libvirt.VIR_ERR_OPERATION_UNSUPPORTED)
    with pytest.raises(NotSupported, match="it failed"):
        driver.screenshot(uuid_of("on"))


def test_a_screenshot_without_end_is_refused(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libvirt.virStream, "recv", lambda _stream, size: bytes(size))
    with pytest.raises(DriverError, match="too large"):
        driver.screenshot(uuid_of("on"))


def test_a_screenshot_in_an_unknown_format_is_refused(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces = [b"GIF89a", b""]
    monkeypatch.setattr(libvirt.virStream, "recv", lambda _stream, _size: pieces.pop(0))
    with pytest.raises(NotSupported):
        driver.screenshot(uuid_of("on"))


def test_a_driver_that_cannot_start_domains_by_itself(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails(monkeypatch, libvirt.virDomain, "autostart", libvirt.VIR_ERR_NO_SUPPORT)
    fails(monkeypatch, libvirt.virDomain, "hasManagedSaveImage", libvirt.VIR_ERR_INTERNAL_ERROR)
    with pytest.raises(DriverError, match="it failed"):
        driver.domain(uuid_of("on"))
    fails(monkeypatch, libvirt.virDomain, "hasManagedSaveImage", libvirt.VIR_ERR_NO_SUPPORT)
    assert not driver.domain(uuid_of("on"))["autostart"]


def test_addresses_that_cannot_be_asked_are_left_out(
    watching: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails(monkeypatch, libvirt.virDomain, "interfaceAddresses", libvirt.VIR_ERR_NO_SUPPORT)
    assert watching.domain(by_name(watching)["test"]["uuid"])["interfaces"][0]["addresses"] == []


def test_what_a_lease_file_says_need_not_be_an_address(
    watching: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    leases = ["<script>", "192.0.2.7", "", *(f"2001:db8::{n}" for n in range(1, 100))]
    answer = {"vnet0": {"hwaddr": "AA:BB:CC:DD:EE:FF", "addrs": [{"addr": lease} for lease in leases]}}
    monkeypatch.setattr(libvirt.virDomain, "interfaceAddresses", lambda *_: answer)
    addresses = watching.domain(by_name(watching)["test"]["uuid"])["interfaces"][0]["addresses"]
    assert addresses[:2] == ["192.0.2.7", "2001:db8::1"]
    assert len(addresses) == 16


def test_xml_carries_no_password(watching: Driver, outside: libvirt.virConnect) -> None:
    domain = domain_xml("new")
    graphics = {"type": "vnc", "port": "5901", "autoport": "no", "passwd": "hush"}
    ET.SubElement(ET.SubElement(domain, "devices"), "graphics", graphics)
    outside.defineXML(ET.tostring(domain, encoding="unicode"))
    assert "5901" in watching.xml(uuid_of("new"))
    assert "hush" not in watching.xml(uuid_of("new"))


def test_xml_too_large_to_pass_on_is_refused(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libvirt.virDomain, "XMLDesc", lambda *_: "x" * 2**21)
    with pytest.raises(InvalidXML):
        driver.xml(uuid_of("on"))
    with pytest.raises(InvalidXML):
        driver.domain(uuid_of("on"))


def test_statistics_are_made_safe_to_show(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    real = libvirt.virConnect.getAllDomainStats

    def hostile(connection: libvirt.virConnect, groups: int = 0, flags: int = 0) -> Any:
        return [(domain, {"net.0.name": "a\x1b\x00b"}) for domain, _ in real(connection, groups, flags)]

    monkeypatch.setattr(libvirt.virConnect, "getAllDomainStats", hostile)
    assert driver.stats()[0]["stats"] == {"net.0.name": "ab"}
    assert by_name(driver)["on"]["state"] == "unknown"


def test_one_domain_has_its_devices_and_addresses(watching: Driver) -> None:
    domain = watching.domain(by_name(watching)["test"]["uuid"])
    assert domain["name"] == "test"
    assert domain["disks"][0]["target"] == "vda"
    (interface,) = domain["interfaces"]
    assert interface["mac"] == "aa:bb:cc:dd:ee:ff"
    assert [ipaddress.ip_address(a).version for a in interface["addresses"]] == [4]
    assert domain["arch"] == "i686"


def test_the_hash_changes_with_the_definition(watching: Driver, outside: libvirt.virConnect) -> None:
    outside.defineXML(ET.tostring(domain_xml("new"), encoding="unicode"))
    first = watching.domain(uuid_of("new"))["xml_hash"]
    assert watching.domain(uuid_of("new"))["xml_hash"] == first
    outside.defineXML(ET.tostring(domain_xml("new", title="other"), encoding="unicode"))
    assert watching.domain(uuid_of("new"))["xml_hash"] != first


def test_xml_fits_the_state(driver: Driver) -> None:
    assert parse(driver.xml(uuid_of("on"))).get("id")
    assert parse(driver.xml(uuid_of("on"), "live")).get("id")
    assert not parse(driver.xml(uuid_of("on"), "inactive")).get("id")
    assert not parse(driver.xml(uuid_of("off"))).get("id")


def test_a_uuid_is_read_in_any_spelling(driver: Driver) -> None:
    assert driver.domain(uuid.UUID(uuid_of("on")).hex.upper())["name"] == "on"


def test_a_screenshot_is_a_png(driver: Driver) -> None:
    assert driver.screenshot(uuid_of("on")).startswith(png.SIGNATURE)


def test_a_ppm_screenshot_becomes_a_png(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    pieces = [b"P6\n1 1\n", b"255\n\x01\x02\x03", b""]
    monkeypatch.setattr(libvirt.virStream, "recv", lambda _stream, _size: pieces.pop(0))
    assert driver.screenshot(uuid_of("on")).startswith(png.SIGNATURE)


def test_statistics_carry_libvirts_keys(driver: Driver) -> None:
    stats = {entry["uuid"]: entry["stats"] for entry in driver.stats()}
    assert stats[uuid_of("on")]["state.state"] == RUNNING
    assert len(stats) == 3


def test_the_host_is_described(driver: Driver) -> None:
    facts = driver.host()
    assert facts["libvirt"] == {
        "uri": facts["libvirt"]["uri"],
        "alive": True,
        "version": facts["libvirt"]["version"],
        "hypervisor": "TEST",
        "hypervisor_version": "0.0.2",
        "error": None,
    }
    assert str(facts["libvirt"]["version"]).count(".") == 2
    assert facts["cpus"]
    assert facts["memory"]
    assert facts["memory_free"] is not None
    assert facts["event_epoch"] == driver.event_epoch == driver.domains()["event_epoch"]


def test_many_drivers_share_the_threads(tmp_path: Path) -> None:
    uri = fleet(tmp_path, domain_xml("on"))
    before = threading.active_count()
    drivers = [Driver(uri) for _ in range(50)]
    for each in drivers:
        each.start()
    try:
        for each in drivers:
            eventually(partial(answers, each))
            assert list(by_name(each)) == ["on"]
        assert threading.active_count() - before <= 22
    finally:
        for each in drivers:
            each.stop()


def test_a_stopped_driver_lets_its_connection_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[weakref.ref[libvirt.virConnect]] = []
    real = libvirt.open

    def remember(uri: str) -> libvirt.virConnect:
        connection = real(uri)
        opened.append(weakref.ref(connection))
        return connection

    monkeypatch.setattr(libvirt, "open", remember)
    with running(Driver(fleet(tmp_path, domain_xml("on")))) as driver:
        assert driver.stats()
    eventually(lambda: gc.collect() is not None and opened[0]() is None)
