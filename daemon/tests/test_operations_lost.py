"""What becomes of an operation whose look at its domain is lost: libvirt does not answer in time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import libvirt
import pytest
from doors import until
from hypervisors import RUNNING, SHORT, domain_xml, fleet, running
from operating import Local

from virshmanagerd.driver import Driver, Facts, facts
from virshmanagerd.driver.session import Session
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
