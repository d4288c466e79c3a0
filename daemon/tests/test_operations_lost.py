"""What becomes of an operation whose look at its domain is lost: libvirt does not answer in time."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import libvirt
import pytest
from doors import until
from hypervisors import RUNNING, SHORT, domain_xml, fleet, running, uuid_of
from operating import Local

from virshmanagerd import clock
from virshmanagerd.driver import Driver, Facts, facts
from virshmanagerd.driver.session import Session
from virshmanagerd.journal import Entry, Journal
from virshmanagerd.operations import steps


class Looks:
    """The looks at domains. They return only while `answered` is set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun = 0
        self.answered = threading.Event()
        self.answered.set()
        real = facts.facts

        def look(session: Session, uuid: str, *, job: bool, stored: bool) -> Facts | None:
            self.begun += 1
            assert self.answered.wait(20)
            return real(session, uuid, job=job, stored=stored)

        monkeypatch.setattr(facts, "facts", look)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Iterator[Looks]:
    found = Looks(monkeypatch)
    yield found
    found.answered.set()


@pytest.fixture
def host(tmp_path: Path, looks: Looks) -> Iterator[Local]:
    """`on` runs, `off` is off."""
    uri = fleet(tmp_path, domain_xml("on", state=RUNNING), domain_xml("off"))
    with running(Driver(uri, limits=SHORT)) as driver:
        local = Local(tmp_path, driver)
        yield local
        local.operations.stop()


def test_what_has_not_begun_looks_again_when_its_look_returns(host: Local, looks: Looks) -> None:
    looks.answered.clear()
    number = host.put("start", "off", deadline=30)  # a rest of BUSY_SECONDS would be too long
    until(lambda: host.is_held_up(number))
    assert looks.begun == 1
    looks.answered.set()
    assert host.verdict(number) == ("done", "")


def test_what_has_begun_looks_again_when_its_look_returns(
    host: Local, looks: Looks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(libvirt.virDomain, "shutdownFlags", lambda *_: 0)
    monkeypatch.setattr(steps, "POLL_SECONDS", 0.05)
    host.put("shutdown", "on", deadline=100)
    until(lambda: looks.begun > 1)  # the first was before the call
    looks.answered.clear()
    until(lambda: host.driver._calls.lost == 1)
    begun = looks.begun
    looks.answered.set()
    until(lambda: looks.begun > begun)


def test_a_job_is_looked_at_again_when_its_look_returns(
    host: Local, looks: Looks, monkeypatch: pytest.MonkeyPatch
) -> None:
    def progress(_session: Session, uuid: str) -> int:
        assert looks.answered.wait(20)
        return 25

    def save(_domain: libvirt.virDomain, _flags: int) -> None:
        looks.answered.clear()
        assert saved.wait(20)

    saved = threading.Event()
    monkeypatch.setattr(steps, "RETRY_SECONDS", 0.05)
    monkeypatch.setattr(facts, "progress", progress)
    monkeypatch.setattr(libvirt.virDomain, "managedSave", save)
    number = host.put("save", "on", deadline=100)
    until(lambda: host.driver._calls.lost == 1)
    looks.answered.set()
    until(lambda: host.operations.get(number)["progress"] == 25)
    saved.set()
    assert host.verdict(number)[0] == "done"


def test_guests_that_do_not_answer_do_not_end_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each costs a lost call; a fresh process would look at all of them again, and end as soon."""
    answered, exhausted = threading.Event(), threading.Event()
    names = [f"d{number}" for number in range(2 * SHORT.lost)]

    def job_info(_domain: libvirt.virDomain) -> list[int]:
        assert answered.wait(20)
        return [libvirt.VIR_DOMAIN_JOB_NONE]

    monkeypatch.setattr(libvirt.virDomain, "jobInfo", job_info)
    monkeypatch.setattr(steps, "RETRY_SECONDS", 0.05)
    uri = fleet(tmp_path, *[domain_xml(name, state=RUNNING) for name in names])
    with running(Driver(uri, limits=SHORT, on_exhausted=exhausted.set)) as driver:
        local = Local(tmp_path, driver)
        numbers = begun(local, names)
        local.operations.tick()
        try:
            until(lambda: driver._calls.lost > 0)
            assert not exhausted.wait(2 * SHORT.read)
            assert len(driver.domains()["domains"]) == len(names)
            answered.set()
            for number in numbers:
                assert local.verdict(number) == ("unknown", "interrupted")
        finally:
            answered.set()
            local.operations.stop()


def begun(host: Local, names: list[str]) -> list[str]:
    """Resets in the middle of which an earlier process ended."""
    journal = Journal(host.folder)
    numbers = []
    for name in names:
        entry = Entry(
            id=str(uuid.uuid4()),
            fingerprint="",
            verb="reset",
            target={"type": "domain", "uuid": uuid_of(name)},
            args={},
            precondition={},
            deadline=clock.now() + 100,
        )
        journal.receive(entry, at_once=False)
        journal.start(entry.id, {})
        numbers.append(entry.id)
    journal.close()
    return numbers
