"""What a daemon makes of an operation that an earlier one was killed in the middle of, verb by verb."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import libvirt
import pytest
from doors import until
from hypervisors import PAUSED, RUNNING, domain_xml, eventually, fleet, running, uuid_of
from operating import Local, fail_looks

from virshmanagerd import clock, faults
from virshmanagerd.driver import Driver, Limits, Line, facts, single
from virshmanagerd.errors import DriverError, HypervisorBusy
from virshmanagerd.operations import steps

Interrupt = Callable[..., tuple[str, Local]]


class Killed(BaseException):
    """The process is no more."""


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Local]:
    """`on` runs, `held` is paused, `off` is off."""
    for name in ("POLL_SECONDS", "RETRY_SECONDS"):
        monkeypatch.setattr(steps, name, 0.05)
    domains = (domain_xml("on", state=RUNNING), domain_xml("held", state=PAUSED), domain_xml("off"))
    with running(Driver(fleet(tmp_path, *domains))) as driver:
        local = Local(tmp_path, driver)
        yield local
        local.operations.stop()


@pytest.fixture
def interrupt(host: Local) -> Iterator[Interrupt]:
    """Order something of a process that is killed once it has begun; the next has not looked yet."""
    lives: list[Local] = []

    def interrupted(
        verb: str, name: str | None = None, *, at: str = "started", **more: Any
    ) -> tuple[str, Local]:
        dead = threading.Event()

        def die(step: str) -> None:
            if step == at:
                dead.set()
                raise Killed

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(faults, "at", die)
            number = host.put(verb, name, **more)
            assert dead.wait(5)
        lives.append(host.again())
        return number, lives[-1]

    yield interrupted
    for life in lives:
        life.operations.stop()


def domain(host: Local, name: str) -> libvirt.virDomain:
    return host.driver.session(Line.READ).connection.lookupByName(name)


def xml(name: str, **more: Any) -> str:
    root = domain_xml(name, **more)
    for element in [element for element in root if "}" in element.tag]:
        root.remove(element)
    return ET.tostring(root, encoding="unicode")


BEGUN = [
    ("start", "off", {}),
    ("destroy", "on", {}),
    ("suspend", "on", {}),
    ("resume", "held", {}),
    ("save", "on", {}),
    ("autostart", "off", {"args": {"enabled": True}}),
    ("metadata", "on", {"args": {"title": "A", "description": "B ", "tags": [" c ", "d"]}}),
    ("undefine", "off", {}),
    ("define", None, {"args": {"xml": xml("new")}}),
    ("define", None, {"args": {"xml": xml("off", title="Renamed")}}),
]


@pytest.mark.parametrize(("verb", "name", "more"), BEGUN)
def test_what_was_not_done_is_done_within_the_deadline(
    interrupt: Interrupt, verb: str, name: str | None, more: dict[str, Any]
) -> None:
    number, after = interrupt(verb, name, **more)
    assert after.verdict(number) == ("done", "")
    assert after.told[0] == (number, "started")


@pytest.mark.parametrize(("verb", "name", "more"), BEGUN)
def test_what_was_not_done_is_not_done_late(
    interrupt: Interrupt, monkeypatch: pytest.MonkeyPatch, verb: str, name: str | None, more: dict[str, Any]
) -> None:
    number, after = interrupt(verb, name, **more)
    now = clock.now()
    monkeypatch.setattr(clock, "now", lambda: now + 20)
    assert after.verdict(number) == ("expired", "")


@pytest.mark.parametrize(("verb", "name", "more"), BEGUN)
def test_what_was_done_is_done_once(
    interrupt: Interrupt, monkeypatch: pytest.MonkeyPatch, verb: str, name: str | None, more: dict[str, Any]
) -> None:
    number, after = interrupt(verb, name, at="called", **more)
    calls: list[object] = []
    monkeypatch.setattr(Driver, "change", lambda *arguments: calls.append(arguments))
    assert after.verdict(number) == ("done", "")
    assert calls == []


def test_a_restored_guest(host: Local, interrupt: Interrupt) -> None:
    domain(host, "on").managedSave()
    number, after = interrupt("restore", "on", at="called")
    assert after.verdict(number) == ("done", "")


def test_a_restored_guest_that_is_off_again_is_not_booted(host: Local, interrupt: Interrupt) -> None:
    domain(host, "on").managedSave()
    number, after = interrupt("restore", "on", at="called")
    domain(host, "on").destroy()
    assert after.verdict(number) == ("failed", "wrong_state")
    assert not domain(after, "on").isActive()


@pytest.mark.parametrize("verb", ["reboot", "reset"])
@pytest.mark.parametrize("at", ["started", "called"])
def test_nobody_can_tell(interrupt: Interrupt, monkeypatch: pytest.MonkeyPatch, verb: str, at: str) -> None:
    number, after = interrupt(verb, "on", at=at)
    calls: list[object] = []
    monkeypatch.setattr(Driver, "change", lambda *arguments: calls.append(arguments))
    assert after.verdict(number) == ("unknown", "interrupted")
    assert calls == []


def test_a_guest_that_was_started_again_is_left_alone(host: Local, interrupt: Interrupt) -> None:
    number, after = interrupt("destroy", "on", at="called")
    domain(host, "on").create()
    assert after.verdict(number) == ("done", "")
    assert domain(host, "on").isActive()


def test_the_ids_of_another_boot_name_other_guests(
    host: Local, interrupt: Interrupt, monkeypatch: pytest.MonkeyPatch
) -> None:
    number, after = interrupt("destroy", "on")
    monkeypatch.setattr(clock, "BOOT_ID", str(uuid.uuid4()))
    assert after.verdict(number) == ("done", "")
    assert domain(host, "on").isActive()


def test_a_shutdown_is_waited_for_and_not_repeated(host: Local, interrupt: Interrupt) -> None:
    number, after = interrupt("shutdown", "on")
    until(lambda: after.state(number) == "started")
    assert after.told == [(number, "started")]
    domain(host, "on").destroy()
    assert after.verdict(number) == ("done", "")


def test_a_shutdown_ends_at_its_deadline(interrupt: Interrupt) -> None:
    number, after = interrupt("shutdown", "on", deadline=0.5)
    assert after.verdict(number) == ("failed", "guest_did_not_stop")


def test_what_was_not_begun_begins(host: Local, interrupt: Interrupt) -> None:
    def order() -> None:
        with pytest.raises(Killed):
            interrupt("start", "off", at="received", number=number)

    number = str(uuid.uuid4())
    order()
    after = host.again()
    assert after.verdict(number) == ("done", "")
    after.operations.stop()


def test_a_domain_that_is_gone(host: Local, interrupt: Interrupt) -> None:
    number, after = interrupt("start", "off")
    domain(host, "off").undefine()
    assert after.verdict(number) == ("failed", "no_such_domain")


def test_xml_of_somebody_else(host: Local, interrupt: Interrupt) -> None:
    """It is neither what was there nor what was sent."""
    number, after = interrupt("define", args={"xml": xml("off", title="Ours")})
    host.driver.session(Line.READ).connection.defineXML(xml("off", title="Theirs"))
    assert after.verdict(number) == ("failed", "xml_changed")
    assert host.driver.row(uuid_of("off"))["title"] == "Theirs"  # type: ignore[index]


def test_no_verdict_before_the_job_is_over(
    host: Local, interrupt: Interrupt, monkeypatch: pytest.MonkeyPatch
) -> None:
    """libvirt may still be at work on the call of a process that was killed."""
    number, after = interrupt("save", "on")
    looks: list[object] = []
    busy = threading.Event()
    busy.set()

    def works(handle: object) -> bool:
        looks.append(handle)
        return busy.is_set()

    monkeypatch.setattr(facts, "_works", works)
    after.operations.tick()
    eventually(lambda: len(looks) > 3)
    assert after.state(number) == "started"
    assert domain(host, "on").isActive()
    busy.clear()
    assert after.verdict(number) == ("done", "")


def test_a_cancelled_save_is_not_begun_again(host: Local, interrupt: Interrupt) -> None:
    number, after = interrupt("save", "on")
    host_journal = after.operations._journal
    host_journal.ask_cancel(number)
    assert after.verdict(number) == ("cancelled", "")
    assert domain(host, "on").isActive()


def test_libvirt_that_is_down_is_asked_when_it_is_back(
    interrupt: Interrupt, monkeypatch: pytest.MonkeyPatch
) -> None:
    number, after = interrupt("reboot", "on")
    after.driver.stop()
    after.operations.tick()
    until(lambda: after.told == [(number, "started")])
    assert after.state(number) == "started"
    after.driver.start()
    assert after.verdict(number) == ("unknown", "interrupted")


def test_the_first_call_may_be_done_while_it_is_repeated(host: Local, interrupt: Interrupt) -> None:
    """A killed process's call takes effect late: the second is refused, and the effect is there."""
    number, after = interrupt("start", "off")
    real = libvirt.virDomain.create

    def late(handle: libvirt.virDomain) -> None:
        real(handle)
        real(handle)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(libvirt.virDomain, "create", late)
        assert after.verdict(number) == ("done", "")


def test_a_connection_that_breaks_in_a_call(host: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it was done is seen afterwards; of a reboot it is not."""
    real: dict[str, Any] = {name: getattr(libvirt.virDomain, name) for name in ("suspend", "reboot")}

    def broken(name: str) -> Callable[..., None]:
        def call(handle: libvirt.virDomain, *arguments: Any) -> None:
            real[name](handle, *arguments)
            error = libvirt.libvirtError("broken")
            error.err = (libvirt.VIR_ERR_INVALID_CONN, 0, "broken", 2, None, None, None, 0, 0)
            raise error

        return call

    for name in real:
        monkeypatch.setattr(libvirt.virDomain, name, broken(name))
    monkeypatch.setattr("virshmanagerd.driver.link.Link.drop", lambda *_: None)
    assert host.verdict(host.put("reboot", "on")) == ("unknown", "interrupted")
    assert host.verdict(host.put("suspend", "on")) == ("done", "")


def test_a_verdict_does_not_wait_for_a_domain_that_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()
    monkeypatch.setattr(single, "row", lambda *_, **__: gate.wait(30))
    with running(Driver(fleet(tmp_path, domain_xml("off")), limits=Limits(read=1))) as driver:
        local = Local(tmp_path, driver)
        try:
            assert local.done("start", "off", seconds=10) == {"domain": None}
        finally:
            gate.set()
            local.operations.stop()


def test_a_domain_that_runs_by_now_is_not_undefined(host: Local, interrupt: Interrupt) -> None:
    """It would lose its definition while it runs, and be gone with its guest."""
    number, after = interrupt("undefine", "off")
    domain(host, "off").create()
    assert after.verdict(number) == ("failed", "wrong_state")
    assert domain(after, "off").isPersistent()


def test_an_undefining_that_was_done_while_the_domain_was_started(host: Local, interrupt: Interrupt) -> None:
    number, after = interrupt("undefine", "off")
    domain(host, "off").create()
    domain(host, "off").undefine()
    assert after.verdict(number) == ("done", "")


@pytest.mark.parametrize(("verb", "name", "verdict"), [("start", "off", "done"), ("reboot", "on", "unknown")])
def test_a_look_that_libvirt_fails_is_no_verdict(
    interrupt: Interrupt, monkeypatch: pytest.MonkeyPatch, verb: str, name: str, verdict: str
) -> None:
    number, after = interrupt(verb, name, at="called")
    fail_looks(monkeypatch, DriverError("too many open files"))
    assert after.verdict(number)[0] == verdict


def test_what_libvirt_never_tells_is_unknown(interrupt: Interrupt, monkeypatch: pytest.MonkeyPatch) -> None:
    number, after = interrupt("start", "off", deadline=0.5)

    def look(*_: object, **_more: bool) -> None:
        raise DriverError("too many open files")

    monkeypatch.setattr(Driver, "facts", look)
    assert after.verdict(number) == ("unknown", "internal_error")


def test_what_is_refused_to_the_second_call_is_judged_by_the_state(host: Local, interrupt: Interrupt) -> None:
    """Also when the state cannot be read at once."""
    number, after = interrupt("start", "off")
    create, look, refused = libvirt.virDomain.create, Driver.facts, threading.Event()

    def late(handle: libvirt.virDomain) -> None:
        create(handle)
        refused.set()
        create(handle)

    def busy(driver: Driver, uuid: str, **more: bool) -> object:
        if refused.is_set():
            refused.clear()
            raise HypervisorBusy("stuck")
        return look(driver, uuid, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(libvirt.virDomain, "create", late)
        patch.setattr(Driver, "facts", busy)
        patch.setattr(steps, "BUSY_SECONDS", 0.05)
        assert after.verdict(number) == ("done", "")
