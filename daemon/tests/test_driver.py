"""The driver's answers, on libvirt's own test driver."""

from __future__ import annotations

import gc
import ipaddress
import threading
import uuid
import weakref
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import libvirt
import pytest
from hypervisors import (
    PAUSED,
    RUNNING,
    SHORT,
    answers,
    domain_xml,
    eventually,
    fails,
    fleet,
    running,
    uuid_of,
)

from virshmanagerd import png
from virshmanagerd.domainxml import parse
from virshmanagerd.driver import Driver
from virshmanagerd.driver.answers import Domain
from virshmanagerd.errors import (
    DriverError,
    HypervisorBusy,
    InvalidXML,
    NoSuchDomain,
    NotSupported,
    WrongState,
)

TAGS = "<tags><tag>web</tag><tag>prod</tag></tags>"


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


def by_name(driver: Driver) -> dict[str, Domain]:
    return {domain["name"]: domain for domain in driver.domains()["domains"]}


@pytest.mark.parametrize("name", ["", "on", "../host", "00000000-0000-0000-0000-000000000000", "a" * 5000])
def test_what_names_no_domain(driver: Driver, name: str) -> None:
    for ask in (driver.domain, driver.xml, driver.screenshot):
        with pytest.raises(NoSuchDomain):
            ask(name)


def test_a_row_is_what_the_list_says(driver: Driver) -> None:
    assert driver.row("00000000-0000-0000-0000-000000000000") is None
    for domain in driver.domains()["domains"]:
        assert driver.row(domain["uuid"].upper()) == domain


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


def test_a_stuck_call_is_busy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gates: list[threading.Event]
) -> None:
    with running(Driver(fleet(tmp_path, domain_xml("on", state=RUNNING)), limits=SHORT)) as driver:
        gates.append(Stuck(monkeypatch, libvirt.virDomain, "screenshot").gate)
        with pytest.raises(HypervisorBusy):
            driver.screenshot(uuid_of("on"))
        assert list(by_name(driver)) == ["on"]


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


def test_unreadable_xml_hides_no_domain(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libvirt.virDomain, "XMLDesc", lambda *_: "<!DOCTYPE domain><domain/>")
    domains = by_name(driver)
    assert sorted(domains) == ["brief", "off", "on"]


def test_a_domain_that_ends_during_the_listing_is_left_out(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver.stop()
    driver.start()
    eventually(lambda: driver.host()["libvirt"]["alive"])
    fails(monkeypatch, libvirt.virDomain, "XMLDesc", libvirt.VIR_ERR_NO_DOMAIN)
    assert by_name(driver) == {}


def test_an_old_libvirt_that_cannot_pass_over_busy_domains(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = libvirt.virConnect.getAllDomainStats

    def old(connection: libvirt.virConnect, groups: int = 0, flags: int = 0) -> Any:
        if flags:
            fails(monkeypatch, libvirt.virConnect, "listAllInterfaces", libvirt.VIR_ERR_INVALID_ARG)
            connection.listAllInterfaces()
        return real(connection, groups, flags)

    monkeypatch.setattr(libvirt.virConnect, "getAllDomainStats", old)
    assert len(by_name(driver)) == 3
    assert len(driver.stats()) == 3


def test_a_driver_without_statistics_is_asked_for_each_state(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails(monkeypatch, libvirt.virConnect, "getAllDomainStats", libvirt.VIR_ERR_NO_SUPPORT)
    domains = by_name(driver)
    assert {name: domain["state"] for name, domain in domains.items()} == {
        "on": "running",
        "off": "shutoff",
        "brief": "paused",
    }


def test_a_domain_that_ends_while_states_are_asked_is_left_out(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails(monkeypatch, libvirt.virConnect, "getAllDomainStats", libvirt.VIR_ERR_NO_SUPPORT)
    fails(monkeypatch, libvirt.virDomain, "state", libvirt.VIR_ERR_NO_DOMAIN)
    assert by_name(driver) == {}


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (libvirt.virConnect, "getAllDomainStats"),
        (libvirt.virConnect, "listAllDomains"),
        (libvirt.virDomain, "XMLDesc"),
    ],
)
def test_a_failure_of_libvirt_is_no_empty_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type, name: str
) -> None:
    driver = Driver(fleet(tmp_path, domain_xml("on")))
    with running(driver, connected=False):
        eventually(lambda: driver.host()["libvirt"]["alive"])
        fails(monkeypatch, kind, name, libvirt.VIR_ERR_INTERNAL_ERROR)
        with pytest.raises(DriverError, match="it failed"):
            driver.domains()


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


def test_the_list_tells_all_of_a_domain(driver: Driver) -> None:
    assert by_name(driver)["on"] == {
        "uuid": uuid_of("on"),
        "name": "on",
        "id": by_name(driver)["on"]["id"],
        "state": "running",
        "reason": "unknown",
        "vcpus": 2,
        "memory": 32 * 2**20,
        "max_memory": 64 * 2**20,
        "persistent": True,
        "autostart": False,
        "has_managed_save": False,
        "title": "The first",
        "metadata": {"description": None, "tags": []},
    }


def test_the_list_tells_domains_apart(driver: Driver) -> None:
    domains = by_name(driver)
    assert domains["off"]["state"] == "shutoff"
    assert domains["off"]["id"] is None
    assert isinstance(domains["on"]["id"], int)
    assert not domains["brief"]["persistent"]
    assert domains["brief"]["state"] == "paused"


def test_a_list_costs_the_same_number_of_calls_whatever_its_length(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    domains = [domain_xml(f"vm{n}") for n in range(60)]
    with running(Driver(fleet(tmp_path, *domains))) as driver:
        driver.domains()
        calls: list[str] = []
        for kind in (libvirt.virConnect, libvirt.virDomain):
            for name in ("getAllDomainStats", "listAllDomains", "XMLDesc", "info", "state", "autostart"):
                if real := getattr(kind, name, None):

                    def count(*arguments: Any, real: Any = real, name: str = name) -> Any:
                        calls.append(name)
                        return real(*arguments)

                    monkeypatch.setattr(kind, name, count)
        assert len(driver.domains()["domains"]) == 60
        assert calls == ["getAllDomainStats"] + ["listAllDomains"] * 3


def test_changes_from_outside_are_in_the_next_list(watching: Driver, outside: libvirt.virConnect) -> None:
    assert "new" not in by_name(watching)
    domain = outside.defineXML(ET.tostring(domain_xml("new"), encoding="unicode"))
    assert by_name(watching)["new"]["state"] == "shutoff"
    domain.create()
    assert by_name(watching)["new"]["state"] == "running"
    domain.setAutostart(1)
    assert by_name(watching)["new"]["autostart"]
    domain.destroy()
    domain.undefine()
    assert "new" not in by_name(watching)


def test_a_title_and_tags_from_outside_arrive_by_event(watching: Driver, outside: libvirt.virConnect) -> None:
    domain = outside.defineXML(ET.tostring(domain_xml("new", title="old"), encoding="unicode"))
    assert by_name(watching)["new"]["title"] == "old"
    domain.setMetadata(libvirt.VIR_DOMAIN_METADATA_TITLE, "new title", None, None)
    domain.setMetadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, TAGS, "v", "urn:virshmanager:domain:1")
    eventually(lambda: by_name(watching)["new"]["title"] == "new title", seconds=1)
    eventually(lambda: by_name(watching)["new"]["metadata"]["tags"] == ["web", "prod"], seconds=1)
    outside.defineXML(ET.tostring(domain_xml("new", title="defined again"), encoding="unicode"))
    eventually(lambda: by_name(watching)["new"]["title"] == "defined again", seconds=1)


def test_one_domain_has_its_devices_and_addresses(watching: Driver) -> None:
    domain = watching.domain(by_name(watching)["test"]["uuid"])
    assert domain["name"] == "test"
    assert domain["disks"][0]["target"] == "vda"
    (interface,) = domain["interfaces"]
    assert interface["mac"] == "aa:bb:cc:dd:ee:ff"
    assert [ipaddress.ip_address(a).version for a in interface["addresses"]] == [4]
    assert domain["arch"] == "i686"


def test_the_list_and_the_one_agree(driver: Driver) -> None:
    for name, listed in by_name(driver).items():
        one = driver.domain(uuid_of(name))
        assert {key: one[key] for key in listed} == listed  # type: ignore[literal-required]


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
