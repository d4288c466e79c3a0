"""Operations on a real libvirtd and real QEMU guests."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from doors import until
from guests import guest_xml
from hypervisors import answers, eventually, running, uuid_of
from operating import Local
from privatelibvirt import MARKS, Libvirtd

from virshmanagerd.driver import Driver, Line, lines, session

pytestmark = MARKS


# A boot sector that waits for the power button (ACPI's PM1, where QEMU's `pc` has it), and then powers off.
BUTTON = bytes.fromhex("fb ba0206 b80001 ef  f4 ba0006 ed f6c401 74f6  ba0406 b80020 ef f4 ebfd")


def fail() -> None:
    raise AssertionError("too many calls were lost")


@pytest.fixture
def host(libvirtd: Libvirtd, tmp_path: Path) -> Iterator[Local]:
    """A host with the domain `tiny`, which is off."""
    libvirtd.start()
    with running(Driver(libvirtd.uri, on_exhausted=fail), connected=False) as driver:
        eventually(lambda: answers(driver), 30)
        # A new libvirtd first tries out its emulators, and holds domains up meanwhile.
        eventually(lambda: driver.host()["libvirt"]["hypervisor_version"], 30)
        folder = tmp_path / "state"
        folder.mkdir()
        local = Local(folder, driver)
        local.done("define", args={"xml": guest_xml("tiny")})
        yield local
        local.operations.stop()


def xml_hash(host: Local, name: str) -> str:
    return host.driver.domain(uuid_of(name))["xml_hash"]


def test_a_guest_from_its_definition_to_its_end(host: Local) -> None:
    made = host.done("define", args={"xml": guest_xml("new")}, precondition={"xml_hash": None})
    assert made == {"uuid": uuid_of("new"), "xml_hash": xml_hash(host, "new")}
    for verb, state, active in (
        ("start", "running", True),
        ("suspend", "paused", True),
        ("suspend", "paused", True),
        ("resume", "running", True),
        ("reset", "running", True),
        ("reboot", "running", True),
        ("save", "shutoff", False),
        ("restore", "running", True),
        ("destroy", "shutoff", False),
        ("destroy", "shutoff", False),
    ):
        row = host.done(verb, "new")["domain"]
        assert (row["state"], row["id"] is not None, row["has_managed_save"]) == (
            state,
            active,
            verb == "save",
        )
    assert host.done("autostart", "new", args={"enabled": True})["domain"]["autostart"] is True
    assert host.done("undefine", "new") == {"domain": None}
    assert host.verdict(host.put("start", "new")) == ("failed", "no_such_domain")


def test_what_the_state_forbids(host: Local) -> None:
    for verb in ("suspend", "resume", "reboot", "reset", "save", "restore"):
        assert host.verdict(host.put(verb, "tiny")) == ("failed", "wrong_state")
    host.done("start", "tiny")
    for verb in ("start", "restore", "undefine"):
        assert host.verdict(host.put(verb, "tiny")) == ("failed", "wrong_state")


def test_a_saved_state_goes_with_the_definition(host: Local, libvirtd: Libvirtd) -> None:
    host.done("start", "tiny")
    host.done("save", "tiny")
    saved = libvirtd.home / "var/lib/libvirt/qemu/save/tiny.save"
    assert saved.exists()
    host.done("undefine", "tiny")
    assert not saved.exists()


def test_texts_come_back_unchanged(host: Local) -> None:
    hard = "]]></name><x y='1'>&amp; \"\U0001f600"
    for active in (False, True):
        if active:
            host.done("start", "tiny")
        args = {"title": f"{hard}{active}", "description": f"{hard}\n\t{active}", "tags": [hard, str(active)]}
        row = host.done("metadata", "tiny", args=args)["domain"]
        assert (row["title"], row["metadata"]) == (
            args["title"],
            {"description": args["description"], "tags": args["tags"]},
        )
    host.done("destroy", "tiny")
    row = host.driver.row(uuid_of("tiny"))
    assert row
    assert row["title"] == f"{hard}True"
    row = host.done("metadata", "tiny", args={"title": "", "description": "", "tags": []})["domain"]
    assert (row["title"], row["metadata"]) == (None, {"description": None, "tags": []})


def test_definitions(host: Local) -> None:
    known = xml_hash(host, "tiny")
    changed = guest_xml("tiny", title="Changed")
    wrong = host.put("define", args={"xml": changed}, precondition={"xml_hash": "0" * 64})
    assert host.verdict(wrong) == ("failed", "xml_changed")
    made = host.done("define", args={"xml": changed}, precondition={"xml_hash": known})
    assert made["xml_hash"] == xml_hash(host, "tiny") != known
    for refused in (changed.replace("<vcpu>", "<nonsense/><vcpu>"), "<domain/>"):
        number = host.put("define", args={"xml": refused})
        assert host.verdict(number) == ("failed", "invalid_xml")
        assert host.operations.get(number)["problem"]["detail"]  # type: ignore[index]


def test_a_guest_that_does_not_react(host: Local) -> None:
    host.done("start", "tiny")
    number = host.put("shutdown", "tiny", deadline=1)
    assert host.verdict(number) == ("failed", "guest_did_not_stop")
    number = host.put("shutdown", "tiny", deadline=60)
    until(lambda: host.state(number) == "started")
    host.operations.cancel(number)
    assert host.verdict(number) == ("cancelled", "")
    number = host.put("shutdown", "tiny", deadline=60)
    host.done("destroy", "tiny")
    assert host.verdict(number) == ("done", "")


def test_a_guest_that_reacts(host: Local, tmp_path: Path) -> None:
    disk = tmp_path / "disk.img"
    disk.write_bytes(BUTTON.ljust(510, b"\0") + b"\x55\xaa" + bytes(1024 * 1024))
    host.done("define", args={"xml": guest_xml("button", disk=disk)})
    host.done("start", "button")
    states = []
    for _ in range(20):  # until it has booted, it does not hear
        states.append(host.verdict(host.put("shutdown", "button", deadline=3), 10))
        if states[-1] == ("done", ""):
            break
    assert states[-1] == ("done", "")
    assert set(states[:-1]) <= {("failed", "guest_did_not_stop")}
    assert host.driver.facts(uuid_of("button")).state == "shutoff"  # type: ignore[union-attr]


def slow_save(host: Local, libvirtd: Libvirtd) -> str:
    """A save whose guest is frozen: it cannot end."""
    host.done("start", "tiny")
    (guest,) = libvirtd.guests()
    os.kill(guest, signal.SIGSTOP)
    number = host.put("save", "tiny", deadline=600)
    until(lambda: host.state(number) == "started")
    return number


def test_a_stuck_save_can_be_forced_off(host: Local, libvirtd: Libvirtd) -> None:
    """And meanwhile the others are not held up, and hear no end of the connection."""
    epoch = host.driver.event_epoch
    host.done("define", args={"xml": guest_xml("other")})
    number = slow_save(host, libvirtd)
    host.done("start", "other")
    (row,) = [row for row in host.driver.domains()["domains"] if row["name"] == "tiny"]
    assert row["id"] is not None
    host.done("destroy", "tiny", seconds=40)
    assert host.driver.event_epoch == epoch
    assert host.verdict(number, 20)[0] == "failed"
    assert not host.driver.facts(uuid_of("tiny")).active  # type: ignore[union-attr]


@pytest.fixture
def no_keepalive(libvirtd: Libvirtd, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a connection leaves unsent stays so: neither side says anything that would send it along."""
    monkeypatch.setattr(session, "KEEPALIVE", (3600, 1))
    with (libvirtd.home / "etc/libvirt/libvirtd.conf").open("a") as settings:
        settings.write("keepalive_interval = -1\n")


@pytest.mark.usefixtures("no_keepalive")
def test_a_stuck_reset_holds_up_no_other_guest(host: Local, libvirtd: Libvirtd) -> None:
    host.done("start", "tiny")
    (guest,) = libvirtd.guests()
    host.done("define", args={"xml": guest_xml("other")})
    host.done("start", "other")
    shared = host.driver.session(Line.WRITE)
    os.kill(guest, signal.SIGSTOP)
    number = host.put("reset", "tiny", deadline=600)
    until(lambda: shared.is_occupied(lines.ALONE_SECONDS))
    assert host.driver.session(Line.WRITE) is not shared  # libvirt may leave there unsent what others say
    for verb, state in (("suspend", "paused"), ("resume", "running")) * 3:
        assert host.done(verb, "other")["domain"]["state"] == state
    assert host.state(number) == "started"
    os.kill(guest, signal.SIGCONT)
    assert host.verdict(number) == ("done", "")


def test_a_save_is_cancelled(host: Local, libvirtd: Libvirtd) -> None:
    host.done("start", "tiny")
    (guest,) = libvirtd.guests()
    number = host.put("save", "tiny", deadline=600)
    os.kill(guest, signal.SIGSTOP)
    until(lambda: host.state(number) == "started")
    host.operations.cancel(number)
    os.kill(guest, signal.SIGCONT)
    # A small guest may be saved before it can be aborted: then that is the truth.
    verdict = host.verdict(number, 20)
    active = host.driver.facts(uuid_of("tiny")).active  # type: ignore[union-attr]
    assert (verdict, active) in [(("cancelled", ""), True), (("done", ""), False)]


def test_a_killed_daemon_waits_for_what_libvirt_is_at_work_on(host: Local, libvirtd: Libvirtd) -> None:
    """The call of the killed one ends later, and its effect is this operation's."""
    number = slow_save(host, libvirtd)
    after = host.again()
    after.operations.tick()
    until(lambda: (number, "started") in after.told)
    assert after.state(number) == "started"
    (guest,) = libvirtd.guests()
    os.kill(guest, signal.SIGCONT)
    assert after.verdict(number, 60) == ("done", "")
    row = host.driver.row(uuid_of("tiny"))
    assert row
    assert (row["state"], row["has_managed_save"]) == ("shutoff", True)
    after.operations.stop()


def test_libvirt_that_is_away_is_waited_for(host: Local, libvirtd: Libvirtd) -> None:
    libvirtd.kill()
    number = host.put("start", "tiny", deadline=60)
    until(lambda: host.driver.host()["libvirt"]["alive"] is False)
    assert host.state(number) == "received"
    libvirtd.start()
    assert host.verdict(number, 60) == ("done", "")


def test_libvirt_that_hangs_is_asked_again_when_it_goes_on(host: Local, libvirtd: Libvirtd) -> None:
    libvirtd.send(signal.SIGSTOP)
    number = host.put("start", "tiny", deadline=35)  # a rest of BUSY_SECONDS would be too long
    until(lambda: host.is_held_up(number), 20)
    libvirtd.send(signal.SIGCONT)
    assert host.verdict(number, 60) == ("done", "")
