"""Events of libvirt's: told with the row of the moment, in order, and none of a connection that is over."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import libvirt
import pytest
from hypervisors import RUNNING, SHORT, domain_xml, eventually, fails, fleet, running, uuid_of

from virshmanagerd.driver import Driver, events, single
from virshmanagerd.driver.session import Session
from virshmanagerd.errors import LibvirtDown
from virshmanagerd.lifecycle import DETAILS, EVENTS, words

Told = dict[str, Any]


class Paper:
    """A publisher that writes down."""

    def __init__(self) -> None:
        self.told: list[Told] = []
        self.epochs: list[str] = []

    def begin(self, epoch: str) -> None:
        self.epochs.append(epoch)

    def publish(self, kind: str, /, *, only_in: str | None = None, **fields: object) -> None:
        self.told.append({"type": kind, "of": only_in, **fields})

    def of(self, kind: str) -> list[Told]:
        """What was told of this kind."""
        return [told for told in self.told if told["type"] == kind]


@pytest.fixture
def paper() -> Paper:
    return Paper()


@pytest.fixture
def exhausted() -> threading.Event:
    return threading.Event()


@pytest.fixture
def driver(tmp_path: Path, paper: Paper, exhausted: threading.Event) -> Iterator[Driver]:
    """A driver of two domains, one running."""
    uri = fleet(tmp_path, domain_xml("on", state=RUNNING), domain_xml("off"))
    driver = Driver(uri, limits=SHORT, on_exhausted=exhausted.set)
    driver.tell(paper)
    with running(driver):
        yield driver


def domain(driver: Driver, name: str) -> libvirt.virDomain:
    """The domain in the driver's own connection: that of the test driver is its whole hypervisor."""
    return driver._link.session().connection.lookupByName(name)


@pytest.mark.parametrize("event", [-1, len(EVENTS)])
def test_an_event_of_a_newer_libvirt_has_no_words(event: int) -> None:
    assert words(event, 0) is None


def test_a_detail_of_a_newer_libvirt_is_unknown() -> None:
    assert words(2, 99) == ("started", "unknown")


@pytest.mark.parametrize("word", EVENTS)
def test_words_are_libvirts(word: str) -> None:
    number = EVENTS.index(word)
    prefix = f"VIR_DOMAIN_EVENT_{word.upper()}"
    assert getattr(libvirt, prefix) == number
    details = {
        name.removeprefix(f"{prefix}_").lower(): value
        for name, value in vars(libvirt).items()
        if name.startswith(f"{prefix}_")
    }
    assert set(DETAILS[word]) <= set(details)
    for detail, value in details.items():
        assert words(number, value) == (word, detail)


def test_a_start_and_a_stop(driver: Driver, paper: Paper) -> None:
    domain(driver, "off").create()
    eventually(lambda: paper.told)
    domain(driver, "off").destroy()
    eventually(lambda: len(paper.told) == 2)
    started, stopped = paper.told
    assert (started["event"], started["detail"], started["domain"]["state"]) == (
        "started",
        "booted",
        "running",
    )
    assert (stopped["event"], stopped["domain"]["state"]) == ("stopped", "shutoff")
    assert started["of"] == driver.event_epoch
    (listed,) = (row for row in driver.domains()["domains"] if row["name"] == "off")
    assert stopped["domain"] == listed


def test_what_a_change_causes_is_told_a_moment_later_with_one_read(
    driver: Driver, paper: Paper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "HELD_SECONDS", 1)
    reads, real = list[str](), single.row

    def row(session: Session, uuid: str) -> Any:
        reads.append(uuid)
        return real(session, uuid)

    monkeypatch.setattr(single, "row", row)
    with driver.holding_events(uuid_of("off")):
        domain(driver, "off").create()
        domain(driver, "off").suspend()
        domain(driver, "on").suspend()
        eventually(lambda: paper.told)
    assert [told["uuid"] for told in paper.told] == [uuid_of("on")]
    eventually(lambda: len(paper.told) == 3)
    assert [told["event"] for told in paper.told[1:]] == ["started", "suspended"]
    assert reads == [uuid_of("on"), uuid_of("off")]


def test_after_a_change_that_caused_nothing_all_is_told_at_once(
    driver: Driver, paper: Paper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "HELD_SECONDS", 30)
    with driver.holding_events(uuid_of("off")):
        pass
    domain(driver, "off").create()
    eventually(lambda: paper.told)


def test_what_was_read_before_a_change_is_not_the_last_word(
    driver: Driver, paper: Paper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """libvirt tells nothing of the change itself, which is setting the domain to start with the host."""
    reading, go_on, real = threading.Event(), threading.Event(), single.row

    def row(session: Session, uuid: str) -> Any:
        found = real(session, uuid)
        reading.set()
        assert go_on.wait(10)
        return found

    monkeypatch.setattr(single, "row", row)
    monkeypatch.setattr(driver._events, "_seconds", 10)
    domain(driver, "on").suspend()
    assert reading.wait(10)
    with driver.holding_events(uuid_of("on")):
        domain(driver, "on").setAutostart(1)
    go_on.set()
    eventually(lambda: paper.told and paper.told[-1]["domain"]["autostart"])


def test_what_a_long_change_causes_is_told_meanwhile(driver: Driver, paper: Paper) -> None:
    with driver.holding_events(uuid_of("off")):
        domain(driver, "off").create()
        eventually(lambda: paper.told)
        domain(driver, "off").destroy()
        eventually(lambda: len(paper.told) == 2)


def test_a_definition_and_its_end(driver: Driver, paper: Paper) -> None:
    connection = driver._link.session().connection
    new = connection.defineXML(ET.tostring(domain_xml("new"), encoding="unicode"))
    eventually(lambda: paper.of("domain.lifecycle"))
    assert paper.told[0]["event"] == "defined"
    assert paper.told[0]["domain"]["name"] == "new"
    new.undefine()
    eventually(lambda: paper.of("domain.removed"))
    assert paper.told[-2:] == [
        {
            "type": "domain.lifecycle",
            "of": driver.event_epoch,
            "uuid": uuid_of("new"),
            "event": "undefined",
            "detail": "removed",
            "domain": None,
        },
        {"type": "domain.removed", "of": driver.event_epoch, "uuid": uuid_of("new")},
    ]


def test_another_title_is_told_with_it(driver: Driver, paper: Paper) -> None:
    flags = libvirt.VIR_DOMAIN_AFFECT_CONFIG
    domain(driver, "off").setMetadata(libvirt.VIR_DOMAIN_METADATA_TITLE, "New", None, None, flags)
    eventually(lambda: paper.of("domain.changed"))
    assert paper.told[0]["domain"]["title"] == "New"
    assert driver.domains()["domains"]


def test_each_event_is_told_however_fast_they_come(
    driver: Driver, paper: Paper, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads, gate, real = list[str](), threading.Event(), single.row

    def row(session: Session, uuid: str) -> Any:
        reads.append(uuid)
        gate.wait(10)
        return real(session, uuid)

    monkeypatch.setattr(single, "row", row)
    monkeypatch.setattr(driver._events, "_seconds", 10)
    on = domain(driver, "on")
    on.suspend()
    eventually(lambda: reads)
    on.resume()
    on.suspend()
    on.resume()
    domain(driver, "off").create()
    eventually(lambda: len(driver._events._pending.get(uuid_of("on"), [])) == 3)
    gate.set()
    eventually(lambda: len(paper.told) == 5)
    assert [told["event"] for told in paper.told] == [
        "suspended",
        "resumed",
        "suspended",
        "resumed",
        "started",
    ]
    assert reads == [uuid_of("on"), uuid_of("on"), uuid_of("off")]
    assert {told["domain"]["state"] for told in paper.told[1:]} == {"running"}


def test_a_ballooning_guest_is_told_once_in_a_while(
    driver: Driver, paper: Paper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "BALLOON_SECONDS", 0.2)
    session = driver._link.session()
    for _ in range(50):
        driver._events.ballooned(session, uuid_of("on"))
    eventually(lambda: paper.told)
    driver._events.ballooned(session, uuid_of("on"))
    eventually(lambda: len(paper.told) == 2)
    assert [told["type"] for told in paper.told] == ["domain.changed"] * 2


def test_a_row_that_libvirt_refuses(driver: Driver, paper: Paper, monkeypatch: pytest.MonkeyPatch) -> None:
    fails(monkeypatch, libvirt.virDomain, "XMLDesc", libvirt.VIR_ERR_INTERNAL_ERROR)
    domain(driver, "off").create()
    eventually(lambda: paper.told)
    assert (paper.told[0]["event"], paper.told[0]["domain"]) == ("started", None)


def test_a_row_that_does_not_come_is_told_without_and_begins_a_new_epoch(
    driver: Driver, paper: Paper, exhausted: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not for ever: the others are told of over another connection."""
    gate, real = threading.Event(), single.row
    monkeypatch.setattr(single, "row", lambda *_: gate.wait(20))
    epoch = driver.event_epoch
    domain(driver, "off").create()
    eventually(lambda: len(paper.epochs) == 2)
    assert [(told["of"], told["event"], told["domain"]) for told in paper.told] == [(epoch, "started", None)]
    monkeypatch.setattr(single, "row", real)
    connection = driver._link.session().connection
    connection.lookupByName("off").create()
    eventually(lambda: len(paper.told) == 2)
    assert paper.told[1]["domain"]["state"] == "running"
    gate.set()
    eventually(lambda: driver._calls.lost == 0)
    assert len(paper.told) == 2
    assert not exhausted.is_set()


def test_one_driver_does_not_wait_for_another(
    driver: Driver, paper: Paper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, other_paper = Driver(fleet(tmp_path, domain_xml("theirs"))), Paper()
    other.tell(other_paper)
    gate, real = threading.Event(), single.row

    def row(session: Session, uuid: str) -> Any:
        if uuid == uuid_of("off"):
            gate.wait(20)
        return real(session, uuid)

    monkeypatch.setattr(single, "row", row)
    with running(other):
        domain(driver, "off").create()
        domain(other, "theirs").create()
        eventually(lambda: other_paper.told, 2)
    gate.set()


def test_libvirt_goes_and_comes(driver: Driver, paper: Paper, monkeypatch: pytest.MonkeyPatch) -> None:
    session, epoch = driver._link.session(), driver.event_epoch
    with monkeypatch.context() as broken:
        broken.setattr(libvirt, "open", lambda _uri: libvirt.openReadOnly("nonsense://"))
        broken.setattr(libvirt.virConnect, "isAlive", lambda _: 0)
        with pytest.raises(LibvirtDown):
            driver.domain("00000000-0000-0000-0000-000000000000")
        eventually(lambda: driver._link._failures > 2)
        driver._events.changed(session, uuid_of("on"))
    eventually(lambda: len(paper.epochs) == 2)
    assert driver.event_epoch == paper.epochs[1] != epoch
    (down,) = paper.told  # once, and nothing of the old connection
    assert (down["type"], down["of"]) == ("libvirt.down", None)
    assert down["detail"]


def test_an_event_is_told_at_once(driver: Driver, paper: Paper) -> None:
    on, slowest = domain(driver, "on"), 0.0
    for count in range(1, 41):
        start = time.monotonic()
        (on.suspend if count % 2 else on.resume)()
        while len(paper.told) < count:
            time.sleep(0.0005)
        slowest = max(slowest, time.monotonic() - start)
    assert slowest < 0.5
