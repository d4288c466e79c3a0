"""Changes have connections of their own, take as long as they take, and are lost without being forgotten."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import libvirt
import pytest
from hypervisors import RUNNING, SHORT, domain_xml, eventually, fails, fleet, running, uuid_of

from virshmanagerd.driver import Driver, Line, writing
from virshmanagerd.errors import DriverError, LibvirtDown, NoSuchDomain, WrongState

LIMITS = dataclasses.replace(SHORT, write=0.1)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The connections that were opened. All are to one hypervisor, inside this process."""
    real, opened = libvirt.open, []

    def connect(uri: str) -> libvirt.virConnect:
        opened.append(uri)
        return real("test:///default")

    monkeypatch.setattr(libvirt, "open", connect)
    return opened


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[Driver]:
    uri = fleet(tmp_path, domain_xml("on", state=RUNNING), domain_xml("off"))
    with running(Driver(uri, limits=LIMITS)) as driver:
        yield driver


def nothing() -> None:
    """What a lost call means to nobody."""


def change(driver: Driver, work: Any, line: Line = Line.WRITE) -> None:
    driver.change(line, driver.session(line), work, nothing)


def test_without_libvirt_there_is_no_line() -> None:
    with pytest.raises(LibvirtDown):
        Driver("test:///default").session(Line.URGENT)


def test_each_line_has_a_connection_of_its_own_once_it_is_needed(opened: list[str]) -> None:
    with running(Driver("other:///", limits=SHORT)) as driver:
        assert len(opened) == 1
        sessions = {driver.session(line) for line in Line}
        assert len(sessions) == len(opened) == len(Line)
        assert {driver.session(line) for line in Line} == sessions


def test_the_test_drivers_domains_are_in_one_connection(driver: Driver) -> None:
    assert len({driver.session(line) for line in Line}) == 1


def test_a_late_change_is_lost_until_it_returns(opened: list[str]) -> None:
    gate, lost, done = threading.Event(), threading.Event(), threading.Event()
    exhausted = threading.Event()
    limits = dataclasses.replace(LIMITS, lost=1)
    with running(Driver("other:///", limits=limits, on_exhausted=exhausted.set)) as driver:
        session = driver.session(Line.WRITE)

        def work() -> None:
            driver.change(Line.WRITE, session, lambda _session: gate.wait(10), lost.set)
            done.set()

        driver.begin(work)
        assert lost.wait(5)
        assert exhausted.wait(5)
        eventually(lambda: driver.session(Line.WRITE) is not session)  # the others need not wait for it
        assert driver.domains()["domains"]
        assert not done.is_set()
        gate.set()
        assert done.wait(5)
        eventually(lambda: driver._changes.lost == 0)


def test_what_takes_long_is_never_lost(driver: Driver) -> None:
    over = threading.Event()
    threading.Timer(0.4, over.set).start()
    lost = threading.Event()
    driver.change(Line.LONG, driver.session(Line.LONG), lambda _session: over.wait(10), lost.set)
    assert not lost.is_set()
    assert driver._changes.lost == 0


def test_a_refusal_is_an_error_of_the_driver(driver: Driver) -> None:
    with pytest.raises(NoSuchDomain):
        change(driver, partial(writing.start, uuid=uuid_of("nobody")))
    with pytest.raises(DriverError):
        change(driver, partial(writing.start, uuid=uuid_of("on")))
    with pytest.raises(WrongState):
        change(driver, partial(writing.restore, uuid=uuid_of("off")))
    assert not driver.facts(uuid_of("off")).active  # type: ignore[union-attr]


def test_a_refusal_of_known_flags_is_not_tried_again(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    fails(monkeypatch, libvirt.virDomain, "undefineFlags", libvirt.VIR_ERR_OPERATION_INVALID)
    with pytest.raises(WrongState):
        change(driver, partial(writing.undefine, uuid=uuid_of("off")))


def test_flags_are_tried_from_the_youngest(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[int] = []
    real = libvirt.virDomain.undefineFlags

    def undefine(domain: libvirt.virDomain, flags: int) -> None:
        tried.append(flags)
        real(domain, flags)

    monkeypatch.setattr(libvirt.virDomain, "undefineFlags", undefine)
    change(driver, partial(writing.undefine, uuid=uuid_of("off")))
    assert tried == [*sorted(tried, reverse=True)]
    assert tried[0] & libvirt.VIR_DOMAIN_UNDEFINE_KEEP_NVRAM
    assert tried[-1] & libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
    assert driver.facts(uuid_of("off")) is None


@pytest.mark.parametrize(
    ("verb", "name", "button"),
    [
        (writing.shutdown, "shutdownFlags", libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN),
        (writing.reboot, "reboot", libvirt.VIR_DOMAIN_REBOOT_ACPI_POWER_BTN),
    ],
)
def test_when_the_button_fails_no_agent_is_asked_instead(
    driver: Driver, monkeypatch: pytest.MonkeyPatch, verb: Any, name: str, button: int
) -> None:
    pressed: list[int] = []

    def press(_domain: libvirt.virDomain, flags: int) -> None:
        pressed.append(flags)
        raise libvirt.libvirtError("the button is stuck")

    monkeypatch.setattr(libvirt.virDomain, name, press)
    with pytest.raises(DriverError):
        change(driver, partial(verb, uuid=uuid_of("on")))
    assert pressed == [button]


def test_only_the_guest_of_an_id_is_forced_off(driver: Driver) -> None:
    number = driver.facts(uuid_of("on")).id  # type: ignore[union-attr]
    assert number is not None
    change(driver, partial(writing.destroy, uuid=uuid_of("on"), number=number + 1))
    assert driver.facts(uuid_of("on")).active  # type: ignore[union-attr]
    change(driver, partial(writing.destroy, uuid=uuid_of("on"), number=number))
    assert not driver.facts(uuid_of("on")).active  # type: ignore[union-attr]


def test_facts(driver: Driver) -> None:
    assert driver.facts(uuid_of("nobody")) is None
    off, on = driver.facts(uuid_of("off"), stored=True), driver.facts(uuid_of("on"), job=True)
    assert off
    assert on
    assert (off.id, off.state, off.active) == (None, "shutoff", False)
    assert off.stored
    assert (off.stored.persistent, off.stored.autostart, off.stored.managed_save) == (True, False, False)
    assert off.stored.xml.startswith("<domain")
    assert (on.state, on.active, on.working, on.stored) == ("running", True, False, None)


@pytest.mark.parametrize(
    ("code", "working"),
    [(libvirt.VIR_ERR_OPERATION_TIMEOUT, True), (libvirt.VIR_ERR_OPERATION_INVALID, False)],
)
def test_a_job_that_cannot_be_asked(
    driver: Driver, monkeypatch: pytest.MonkeyPatch, code: int, *, working: bool
) -> None:
    """Who holds its lock is at work; who has just stopped is not."""
    fails(monkeypatch, libvirt.virDomain, "jobInfo", code)
    assert driver.facts(uuid_of("on"), job=True).working is working  # type: ignore[union-attr]


def test_progress_in_per_cent(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DriverError):
        driver.progress(uuid_of("on"))
    for stats, percent in (
        ({"data_total": 400, "data_processed": 100}, 25),
        ({"data_total": 4, "data_processed": 9}, 100),
        ({"data_total": 0, "data_processed": 0}, None),
        ({}, None),
    ):
        monkeypatch.setattr(libvirt.virDomain, "jobStats", lambda _domain, stats=stats: stats)
        assert driver.progress(uuid_of("on")) == percent
