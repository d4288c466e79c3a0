"""Which operation is at work when, and what becomes of one that cannot go on."""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import libvirt
import pytest
from doors import until
from hypervisors import PAUSED, RUNNING, SHORT, domain_xml, fleet, running, uuid_of
from operating import Local, fail_looks

from virshmanagerd.driver import Driver, Line
from virshmanagerd.errors import HypervisorBusy, LibvirtDown
from virshmanagerd.journal import Journal, JournalUnwritable
from virshmanagerd.operations import steps
from virshmanagerd.operations.queues import PLACES
from virshmanagerd.web import Problem

DOMAINS = [f"d{number}" for number in range(8)]


class Gate:
    """A libvirt call that stops before its effect until it is let go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        self.arrived: list[str] = []
        self.open = threading.Event()
        real = getattr(libvirt.virDomain, name)

        def call(domain: libvirt.virDomain, *arguments: Any) -> Any:
            self.arrived.append(domain.name())
            assert self.open.wait(20)
            return real(domain, *arguments)

        monkeypatch.setattr(libvirt.virDomain, name, call)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Gate]]:
    gates: list[Gate] = []

    def make(name: str) -> Gate:
        gates.append(Gate(monkeypatch, name))
        return gates[-1]

    yield make
    for made in gates:
        made.open.set()


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Local]:
    """`on` runs, `held` is paused, and eight are off."""
    domains = [domain_xml("on", state=RUNNING), domain_xml("held", state=PAUSED)]
    uri = fleet(tmp_path, *domains, *map(domain_xml, DOMAINS))
    with running(Driver(uri)) as driver:
        local = Local(tmp_path, driver)
        yield local
        local.operations.stop()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(steps, "RETRY_SECONDS", 0.05)
    monkeypatch.setattr("virshmanagerd.operations.runner.RETRY_SECONDS", 0.05)


def test_one_domain_has_one_writer_at_a_time(host: Local, gate: Callable[[str], Gate]) -> None:
    start = gate("create")
    first, second = host.put("start", "d0"), host.put("suspend", "d0")
    until(lambda: start.arrived == ["d0"])
    assert [host.state(number) for number in (first, second)] == ["started", "received"]
    start.open.set()
    assert [host.verdict(number) for number in (first, second)] == [("done", "")] * 2
    assert [number for number, state in host.told if state == "done"] == [first, second]


def test_other_domains_do_not_wait_until_there_are_too_many(host: Local, gate: Callable[[str], Gate]) -> None:
    start = gate("create")
    numbers = [host.put("start", name) for name in DOMAINS]
    until(lambda: len(start.arrived) == PLACES)
    assert [host.state(number) for number in numbers[PLACES:]] == ["received"] * (len(DOMAINS) - PLACES)
    start.open.set()
    assert {host.verdict(number) for number in numbers} == {("done", "")}


def test_forcing_off_waits_behind_nothing(host: Local, gate: Callable[[str], Gate]) -> None:
    shutdown = gate("shutdownFlags")
    stuck = host.put("shutdown", "on")
    until(lambda: shutdown.arrived == ["on"])
    assert host.verdict(host.put("destroy", "on")) == ("done", "")
    assert host.state(stuck) == "started"
    shutdown.open.set()
    assert host.verdict(stuck) == ("done", "")


def test_forcing_off_does_not_overtake_a_start_of_before(host: Local, gate: Callable[[str], Gate]) -> None:
    start = gate("create")
    first = host.put("start", "d0")
    until(lambda: start.arrived == ["d0"])
    off = host.put("destroy", "d0")
    assert host.state(off) == "received"
    start.open.set()
    assert [host.verdict(number) for number in (first, off)] == [("done", "")] * 2
    assert not host.driver.facts(uuid_of("d0")).active  # type: ignore[union-attr]


def test_forcing_off_does_not_trust_a_look_of_before_a_start(
    host: Local, gate: Callable[[str], Gate], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It saw the domain off; before it can say so, the start of before has switched it on and is over."""
    start = gate("create")
    first = host.put("start", "d0")
    until(lambda: start.arrived == ["d0"])
    seen, go_on, real = threading.Event(), threading.Event(), Driver.facts

    def facts(driver: Driver, uuid: str, **more: bool) -> object:
        found = real(driver, uuid, **more)
        if not seen.is_set():
            seen.set()
            assert go_on.wait(20)
        return found

    monkeypatch.setattr(Driver, "facts", facts)
    off = host.put("destroy", "d0")
    assert seen.wait(10)
    start.open.set()
    assert host.verdict(first) == ("done", "")
    go_on.set()
    assert host.verdict(off) == ("done", "")
    assert not host.driver.facts(uuid_of("d0")).active  # type: ignore[union-attr]


def test_a_later_guest_is_not_forced_off(host: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look and the call somebody restarts the domain: that guest is another one."""
    real = Journal.start
    domain = host.driver.session(Line.URGENT).connection.lookupByName("on")

    def start(journal: Journal, *arguments: Any) -> None:
        domain.destroy()
        domain.create()
        real(journal, *arguments)

    monkeypatch.setattr(Journal, "start", start)
    assert host.verdict(host.put("destroy", "on")) == ("done", "")
    assert domain.isActive()


@pytest.mark.parametrize(("verb", "verdict"), [("destroy", "done"), ("shutdown", "failed")])
def test_a_guest_that_is_started_while_it_is_looked_at_is_the_one_that_was_meant(
    host: Local, monkeypatch: pytest.MonkeyPatch, verb: str, verdict: str
) -> None:
    """Its domain was found before it had an id."""
    real = libvirt.virDomain.state
    domain = host.driver.session(Line.URGENT).connection.lookupByName("d0")

    def state(handle: libvirt.virDomain, flags: int = 0) -> Any:
        monkeypatch.setattr(libvirt.virDomain, "state", real)
        domain.create()
        return real(handle, flags)

    monkeypatch.setattr(libvirt.virDomain, "shutdownFlags", lambda *_: 0)
    monkeypatch.setattr(libvirt.virDomain, "state", state)
    assert host.verdict(host.put(verb, "d0", deadline=0.3))[0] == verdict
    assert bool(domain.isActive()) is (verb == "shutdown")


def test_what_expires_in_the_queue_is_never_run(host: Local, gate: Callable[[str], Gate]) -> None:
    start = gate("create")
    first, late = host.put("start", "d0"), host.put("suspend", "d0", deadline=0.1)
    assert host.verdict(late) == ("expired", "")
    start.open.set()
    assert host.verdict(first) == ("done", "")
    assert host.driver.facts(uuid_of("d0")).state == "running"  # type: ignore[union-attr]


def test_a_guest_that_does_not_stop(host: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libvirt.virDomain, "shutdownFlags", lambda *_: 0)
    number = host.put("shutdown", "on", deadline=0.3)
    assert host.verdict(number) == ("failed", "guest_did_not_stop")


def test_a_guest_that_stops_in_its_own_time(host: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    """Meanwhile it takes no thread, and nobody else's place."""
    monkeypatch.setattr(libvirt.virDomain, "shutdownFlags", lambda *_: 0)
    number = host.put("shutdown", "on")
    until(lambda: host.state(number) == "started")
    assert {host.verdict(host.put("start", name)) for name in DOMAINS} == {("done", "")}
    host.driver.session(Line.READ).connection.lookupByName("on").destroy()
    assert host.verdict(number) == ("done", "")


def test_a_guest_that_stops_is_seen_at_once(host: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libvirt.virDomain, "shutdownFlags", lambda *_: 0)
    monkeypatch.setattr(steps, "POLL_SECONDS", 60)
    number = host.put("shutdown", "on", deadline=100)
    until(lambda: host.waits(number))
    host.driver.session(Line.READ).connection.lookupByName("on").destroy()
    assert host.verdict(number) == ("done", "")


def test_a_guest_that_stops_during_a_look_is_seen_at_once(
    host: Local, monkeypatch: pytest.MonkeyPatch
) -> None:
    number, looks, real = str(uuid.uuid4()), list[str](), Driver.facts
    domain = host.driver.session(Line.READ).connection.lookupByName("on")

    def facts(driver: Driver, name: str, **more: bool) -> object:
        found = real(driver, name, **more)
        looks.append(name)
        if len(looks) == 2:  # the first was before the call
            domain.destroy()
            until(lambda: host.operations._runner.find(number).hurried)  # type: ignore[union-attr]
        return found

    monkeypatch.setattr(libvirt.virDomain, "shutdownFlags", lambda *_: 0)
    monkeypatch.setattr(steps, "POLL_SECONDS", 60)
    monkeypatch.setattr(Driver, "facts", facts)
    host.put("shutdown", "on", number=number, deadline=100)
    assert host.verdict(number) == ("done", "")


def _refuse_to_shut_down(monkeypatch: pytest.MonkeyPatch) -> None:
    def shutdown(_domain: object, _flags: int) -> None:
        error = libvirt.libvirtError("no monitor")
        error.err = (libvirt.VIR_ERR_INTERNAL_ERROR, 10, "no monitor", 2, None, None, None, 0, 0)
        raise error

    monkeypatch.setattr(libvirt.virDomain, "shutdownFlags", shutdown)


def test_a_guest_that_is_just_going(host: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its monitor is gone already, and libvirt is still to see that it is off."""
    _refuse_to_shut_down(monkeypatch)
    number = host.put("shutdown", "on", deadline=100)
    until(lambda: host.waits(number))
    host.driver.session(Line.READ).connection.lookupByName("on").destroy()
    assert host.verdict(number) == ("done", "")


def test_a_guest_that_stays_though_it_cannot_be_asked(host: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    _refuse_to_shut_down(monkeypatch)
    monkeypatch.setattr(steps, "GOING_SECONDS", 0.2)
    assert host.verdict(host.put("shutdown", "on", deadline=100)) == ("failed", "internal_error")


def test_cancelling_a_shutdown_that_was_refused(host: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    _refuse_to_shut_down(monkeypatch)
    number = host.put("shutdown", "on", deadline=100)
    until(lambda: host.waits(number))
    host.operations.cancel(number)
    assert host.verdict(number) == ("cancelled", "")


def test_cancelling_what_has_not_begun(host: Local, gate: Callable[[str], Gate]) -> None:
    start = gate("create")
    first, waiting = host.put("start", "d0"), host.put("suspend", "d0")
    until(lambda: start.arrived == ["d0"])
    assert host.operations.cancel(waiting)["state"] == "cancelled"
    assert host.operations.cancel(waiting)["state"] == "cancelled"
    with pytest.raises(Problem) as refusal:
        host.operations.cancel(first)
    assert (refusal.value.status, refusal.value.type) == (409, "not_cancellable")
    start.open.set()
    assert host.verdict(first) == ("done", "")
    assert host.driver.facts(uuid_of("d0")).state == "running"  # type: ignore[union-attr]


def test_cancelling_a_shutdown_ends_the_waiting(host: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libvirt.virDomain, "shutdownFlags", lambda *_: 0)
    monkeypatch.setattr(steps, "POLL_SECONDS", 60)
    number = host.put("shutdown", "on", deadline=100)
    until(lambda: host.state(number) == "started")
    host.operations.cancel(number)
    assert host.verdict(number) == ("cancelled", "")


def test_cancelling_a_save_aborts_its_job(host: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    aborted, saving = threading.Event(), threading.Event()

    def save(_domain: object, _flags: int) -> None:
        saving.set()
        assert aborted.wait(10)
        error = libvirt.libvirtError("aborted")
        error.err = (libvirt.VIR_ERR_OPERATION_ABORTED, 0, "aborted", 2, None, None, None, 0, 0)
        raise error

    monkeypatch.setattr(libvirt.virDomain, "managedSave", save)
    monkeypatch.setattr(libvirt.virDomain, "abortJob", lambda _domain: aborted.set())
    monkeypatch.setattr(libvirt.virDomain, "jobStats", lambda _: {"data_total": 200, "data_processed": 50})
    number = host.put("save", "on")
    assert saving.wait(10)
    until(lambda: host.operations.get(number)["progress"] == 25)
    assert host.operations.cancel(number)["state"] == "started"
    assert host.verdict(number) == ("cancelled", "")


def test_cancelling_again_and_again_takes_no_thread_each(
    host: Local, gate: Callable[[str], Gate], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A guest that hangs lets its job not be aborted at once."""
    save, abort = gate("managedSave"), gate("abortJob")
    number = host.put("save", "on")
    until(lambda: save.arrived == ["on"])
    for _ in range(30):
        host.operations.cancel(number)
    until(lambda: bool(abort.arrived))
    assert host.verdict(host.put("start", "d0"), seconds=5) == ("done", "")
    abort.open.set()
    save.open.set()
    assert host.verdict(number)[0] == "done"


def test_a_save_that_was_faster_than_its_cancelling(host: Local, gate: Callable[[str], Gate]) -> None:
    save = gate("managedSave")
    number = host.put("save", "on")
    until(lambda: save.arrived == ["on"])
    host.operations.cancel(number)
    save.open.set()
    assert host.verdict(number) == ("done", "")


def test_libvirt_that_is_away_is_waited_for(host: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_looks(monkeypatch, LibvirtDown("away"))
    assert host.verdict(host.put("start", "d0")) == ("done", "")


def test_libvirt_that_stays_away(host: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    def facts(*_: object, **_more: object) -> None:
        raise LibvirtDown("away")

    monkeypatch.setattr(Driver, "facts", facts)
    assert host.verdict(host.put("start", "d0", deadline=0.3)) == ("expired", "libvirt_down")
    monkeypatch.setattr(steps, "PATIENCE_SECONDS", 0.2)
    assert host.verdict(host.put("start", "d0")) == ("failed", "libvirt_down")


def test_a_domain_that_does_not_answer(host: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    def facts(*_: object, **_more: object) -> None:
        raise HypervisorBusy("stuck")

    monkeypatch.setattr(Driver, "facts", facts)
    monkeypatch.setattr(steps, "BUSY_SECONDS", 0.05)
    monkeypatch.setattr(steps, "PATIENCE_SECONDS", 0.2)
    assert host.verdict(host.put("start", "d0")) == ("failed", "hypervisor_busy")


class Broken:
    """A method of the journal that cannot write for a while."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        self.now = True
        self.refused = 0
        real = getattr(Journal, name)

        def write(journal: Journal, *arguments: Any, **more: Any) -> Any:
            if self.now:
                self.refused += 1
                raise JournalUnwritable("the disk is full")
            return real(journal, *arguments, **more)

        monkeypatch.setattr(Journal, name, write)


def test_a_journal_that_cannot_be_written_takes_nothing(host: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = Broken(monkeypatch, "receive")
    with pytest.raises(JournalUnwritable):
        host.put("start", "d0")
    broken.now = False
    assert not host.driver.facts(uuid_of("d0")).active  # type: ignore[union-attr]
    assert host.told == []


def test_nothing_begins_that_is_not_written(
    host: Local, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broken = Broken(monkeypatch, "start")
    late, patient = host.put("start", "d0", deadline=0.2), host.put("start", "d1")
    until(lambda: broken.refused > 3)
    assert host.verdict(late) == ("expired", "")
    assert not host.driver.facts(uuid_of("d1")).active  # type: ignore[union-attr]
    broken.now = False
    assert host.verdict(patient) == ("done", "")
    assert {record.levelno for record in caplog.records} == {logging.ERROR}


def test_a_verdict_is_written_until_it_is_written(host: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = Broken(monkeypatch, "finish")
    creates = 0
    real = libvirt.virDomain.create

    def create(domain: libvirt.virDomain) -> None:
        nonlocal creates
        creates += 1
        real(domain)

    monkeypatch.setattr(libvirt.virDomain, "create", create)
    number = host.put("start", "d0")
    until(lambda: broken.refused > 3)
    assert host.state(number) == "started"
    assert (number, "done") not in host.told
    broken.now = False
    assert host.verdict(number) == ("done", "")
    assert creates == 1


def test_a_defect_is_a_verdict(
    host: Local, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def defect(*_: object, **_more: object) -> None:
        raise RuntimeError("a secret")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Driver, "facts", defect)
        assert host.verdict(host.put("start", "d0")) == ("failed", "internal_error")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Driver, "change", defect)
        number = host.put("start", "d0")
        assert host.verdict(number) == ("unknown", "internal_error")
    assert "secret" not in str(host.operations.get(number))
    assert host.verdict(host.put("start", "d0")) == ("done", "")
    assert "a secret" in caplog.text


def test_a_call_that_is_lost_gets_its_verdict_when_it_returns(
    tmp_path: Path, gate: Callable[[str], Gate]
) -> None:
    """Until then it keeps its domain, but not a place that others need."""
    uri = fleet(tmp_path, *map(domain_xml, DOMAINS))
    lost = threading.Event()
    limits = dataclasses.replace(SHORT, write=0.1, lost=PLACES)
    with running(Driver(uri, limits=limits, on_exhausted=lost.set)) as driver:
        host = Local(tmp_path, driver)
        start = gate("create")
        numbers = [host.put("start", name) for name in DOMAINS]
        until(lambda: len(start.arrived) == len(DOMAINS))
        assert lost.wait(5)
        assert {host.state(number) for number in numbers} == {"started"}
        start.open.set()
        # The connection was replaced: with it the test driver's domains are others.
        assert {host.verdict(number)[0] for number in numbers} <= {"done", "failed"}
        host.operations.stop()


def test_old_verdicts_are_forgotten(host: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    number = host.put("start", "d0")
    assert host.verdict(number) == ("done", "")
    host.operations.acknowledge([number])
    week = time.time() + 8 * 86400
    monkeypatch.setattr(time, "time", lambda: week)
    host.operations.tick()

    def gone() -> bool:
        try:
            host.operations.get(number)
        except Problem as problem:
            return problem.status == 404
        return False

    until(gone)
