"""The handlers that read: what the owner's server is told."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypervisors import RUNNING, SHORT, domain_xml, eventually, fleet, running, uuid_of

from virshmanagerd import png
from virshmanagerd.config import Config
from virshmanagerd.daemon import Daemon
from virshmanagerd.domainxml import DESCRIPTION
from virshmanagerd.driver import Driver
from virshmanagerd.errors import QueueFull
from virshmanagerd.handlers import domains, host, stats
from virshmanagerd.web import Peer, Problem, Request, Response

HOST_KEYS = {
    "api",
    "boot_id",
    "cpu_model",
    "cpus",
    "daemon_version",
    "event_epoch",
    "features",
    "hostname",
    "id",
    "journal_id",
    "libvirt",
    "load",
    "machine_id",
    "memory",
    "memory_free",
    "uuid",
}


def daemon_of(driver: Driver, folder: Path) -> Daemon:
    machine_id = folder / "machine-id"
    machine_id.write_text("0123456789abcdef0123456789abcdef\n")
    config = Config(
        state_dir=folder / "state",
        join_file=folder / "join.json",
        machine_id_file=machine_id,
        hostname="played",
    )
    return Daemon(config, driver)


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    uri = fleet(tmp_path, domain_xml("on", state=RUNNING, title="<b>Größe</b>"), domain_xml("off"))
    with running(Driver(uri)) as driver:
        yield daemon_of(driver, tmp_path)


@pytest.fixture
def without_libvirt(tmp_path: Path) -> Iterator[Daemon]:
    uri = f"qemu+unix:///system?socket={tmp_path}/absent"
    with running(Driver(uri, limits=SHORT), connected=False) as driver:
        eventually(lambda: "absent" in (driver.host()["libvirt"]["error"] or ""))
        yield daemon_of(driver, tmp_path)


def ask(name: str = "", **query: str) -> Request:
    return Request("GET", "/", {"uuid": uuid_of(name)}, query, b"", Peer("127.0.0.1"))


def body(response: Response) -> Any:
    assert response.status == 200
    assert response.content_type == "application/json"
    return json.loads(response.body)


@pytest.mark.parametrize(
    "handler",
    [domains.list_domains, domains.get_domain, domains.get_xml, domains.get_screenshot, stats.get_stats],
)
def test_libvirt_down_is_a_problem(
    without_libvirt: Daemon, handler: Callable[[Daemon, Request], Response]
) -> None:
    with pytest.raises(Problem) as refusal:
        handler(without_libvirt, ask())
    assert (refusal.value.type, refusal.value.status) == ("libvirt_down", 503)
    assert "absent" in refusal.value.detail


@pytest.mark.parametrize("handler", [domains.get_domain, domains.get_xml, domains.get_screenshot])
def test_an_unknown_domain_is_a_problem(
    daemon: Daemon, handler: Callable[[Daemon, Request], Response]
) -> None:
    with pytest.raises(Problem) as refusal:
        handler(daemon, ask("nobody"))
    assert (refusal.value.type, refusal.value.status) == ("no_such_domain", 404)


def test_a_domain_that_is_off_shows_nothing(daemon: Daemon) -> None:
    with pytest.raises(Problem) as refusal:
        domains.get_screenshot(daemon, ask("off"))
    assert (refusal.value.type, refusal.value.status) == ("wrong_state", 409)


def test_a_full_queue_says_when_to_come_back(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_driver: Driver) -> None:
        raise QueueFull

    monkeypatch.setattr(Driver, "stats", full)
    with pytest.raises(Problem) as refusal:
        stats.get_stats(daemon, ask())
    assert (refusal.value.type, refusal.value.status) == ("queue_full", 503)
    assert int(refusal.value.headers["Retry-After"]) > 0


def test_an_unknown_kind_of_xml_is_refused(daemon: Daemon) -> None:
    with pytest.raises(Problem) as refusal:
        domains.get_xml(daemon, ask("on", which="both"))
    assert (refusal.value.type, refusal.value.status) == ("bad_request", 400)


def test_a_host_without_libvirt_still_answers(without_libvirt: Daemon) -> None:
    told = body(host.get_host(without_libvirt, ask()))
    assert told.keys() == HOST_KEYS
    assert told["libvirt"]["alive"] is False
    assert "absent" in told["libvirt"]["error"]
    assert told["cpus"]
    assert 0 < told["memory_free"] <= told["memory"]


def test_the_host_is_told(daemon: Daemon) -> None:
    told = body(host.get_host(daemon, ask()))
    assert told.keys() == HOST_KEYS
    assert told["id"] == daemon.identity.id
    assert told["hostname"] == "played"
    assert told["machine_id"] == daemon.identity.machine_id
    assert told["libvirt"]["hypervisor"] == "TEST"
    assert told["api"] == ["1"]
    assert told["features"] == ["console", "events", "operations", "screenshot", "stats"]
    assert len(told["load"]) == 3


def test_domains_are_told(daemon: Daemon) -> None:
    told = body(domains.list_domains(daemon, ask()))
    assert told["event_epoch"] == body(host.get_host(daemon, ask()))["event_epoch"]
    assert {d["name"]: (d["state"], d["title"]) for d in told["domains"]} == {
        "on": ("running", "<b>Größe</b>"),
        "off": ("shutoff", None),
    }


def test_one_domain_is_told(daemon: Daemon) -> None:
    told = body(domains.get_domain(daemon, ask("on")))
    assert told["name"] == "on"
    assert len(told["xml_hash"]) == 64


def test_xml_is_told(daemon: Daemon) -> None:
    response = domains.get_xml(daemon, ask("on", which="live"))
    assert response.content_type == "application/xml"
    assert "<title>&lt;b&gt;Größe&lt;/b&gt;</title>" in response.body.decode()


def test_a_screen_is_told(daemon: Daemon) -> None:
    response = domains.get_screenshot(daemon, ask("on"))
    assert response.content_type == "image/png"
    assert response.body.startswith(png.SIGNATURE)


def test_statistics_are_told(daemon: Daemon) -> None:
    told = body(stats.get_stats(daemon, ask()))
    assert {entry["uuid"] for entry in told["domains"]} == {uuid_of("on"), uuid_of("off")}


def test_what_people_write_has_as_many_bytes_as_utf_8_needs(tmp_path: Path) -> None:
    """The longest descriptions of 100 domains, in the widest letters, fit into what a server takes."""
    text = "\N{SLEEPING FACE}" * DESCRIPTION
    elements = [domain_xml(f"d{number}") for number in range(100)]
    for element in elements:
        ET.SubElement(element, "description").text = text
    with running(Driver(fleet(tmp_path, *elements))) as driver:
        answer = domains.list_domains(daemon_of(driver, tmp_path), ask())
    assert body(answer)["domains"][0]["metadata"]["description"] == text
    assert len(answer.body) < 8 * 2**20
