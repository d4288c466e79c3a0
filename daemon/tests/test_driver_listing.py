"""The list of domains: what it tells, what it leaves out, and what it costs."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import libvirt
import pytest
from hypervisors import by_name, domain_xml, eventually, fails, fleet, running, uuid_of

from virshmanagerd.driver import Driver
from virshmanagerd.errors import DriverError

TAGS = "<tags><tag>web</tag><tag>prod</tag></tags>"


def test_a_row_is_what_the_list_says(driver: Driver) -> None:
    assert driver.row("00000000-0000-0000-0000-000000000000") is None
    for domain in driver.domains()["domains"]:
        assert driver.row(domain["uuid"].upper()) == domain


def test_unreadable_xml_hides_no_domain_nor_its_size(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    readable = by_name(driver)
    monkeypatch.setattr(libvirt.virDomain, "XMLDesc", lambda *_: "<!DOCTYPE domain><domain/>")
    driver.stop()
    driver.start()
    eventually(lambda: driver.host()["libvirt"]["alive"])
    domains = by_name(driver)
    assert sorted(domains) == ["brief", "off", "on"]
    for name in ("off", "on"):
        assert domains[name]["vcpus"] == readable[name]["vcpus"] is not None
        assert domains[name]["memory"] == readable[name]["memory"] is not None
        assert domains[name]["max_memory"] == readable[name]["max_memory"] is not None


def test_xml_that_is_too_large_for_libvirt_hides_no_domain(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails(monkeypatch, libvirt.virDomain, "XMLDesc", libvirt.VIR_ERR_RPC)
    driver.stop()
    driver.start()
    eventually(lambda: driver.host()["libvirt"]["alive"])
    domains = by_name(driver)
    assert sorted(domains) == ["brief", "off", "on"]
    assert domains["on"]["memory"]
    assert driver.row(uuid_of("on")) == domains["on"]


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


def test_the_list_and_the_one_agree(driver: Driver) -> None:
    for name, listed in by_name(driver).items():
        one = driver.domain(uuid_of(name))
        assert {key: one[key] for key in listed} == listed  # type: ignore[literal-required]
