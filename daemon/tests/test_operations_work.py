"""An open operation: what it is from the journal, and when it may not begin any more."""

from __future__ import annotations

import uuid

import pytest

from virshmanagerd import clock
from virshmanagerd.driver import Line
from virshmanagerd.errors import HypervisorBusy, LibvirtDown
from virshmanagerd.journal import STARTED, Entry
from virshmanagerd.operations.verbs import VERBS
from virshmanagerd.operations.work import Verdict, Work

NOW = 500.0
NAME = "6f1c1f0e-3d0a-4c55-9a7e-0c7f4a8f2b11"


@pytest.fixture(autouse=True)
def _still(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now", lambda: NOW)


def entry(verb: str = "start", *, xml: str = "", deadline: float = NOW + 60) -> Entry:
    target = {"type": "host"} if verb == "define" else {"type": "domain", "uuid": NAME}
    return Entry(str(uuid.uuid4()), "f", verb, target, {"xml": xml}, {}, deadline)


@pytest.mark.parametrize(
    ("verb", "line", "urgent"),
    [("start", Line.WRITE, False), ("save", Line.LONG, False), ("destroy", Line.URGENT, True)],
)
def test_a_new_one_rests_until_its_turn(verb: str, line: Line, *, urgent: bool) -> None:
    work = Work.of(entry(verb))
    assert (work.verb, work.target, work.line, work.urgent) == (VERBS[verb], NAME, line, urgent)
    assert (work.begun, work.resting, work.verdict) == (False, True, None)


def test_one_of_an_earlier_life_is_at_work_already() -> None:
    begun = entry()
    begun.state = STARTED
    work = Work.of(begun)
    assert (work.entry, work.begun, work.resting) == (begun, True, False)


def test_a_definition_waits_for_others_of_the_domain_in_its_xml() -> None:
    assert Work.of(entry("define", xml=f"<domain><uuid>{NAME}</uuid></domain>")).target == NAME


def test_xml_that_cannot_be_read_waits_for_nobody() -> None:
    asked = entry("define", xml="<")
    assert Work.of(asked).target == asked.id


def test_what_was_cancelled_may_not_begin() -> None:
    work = Work.of(entry(deadline=NOW - 1))
    work.entry.cancel_asked = True
    assert work.barred() == Verdict("cancelled", {}, None)


@pytest.mark.parametrize(("left", "barred"), [(-1, True), (0, True), (1, False)])
def test_what_is_late_may_not_begin(left: float, *, barred: bool) -> None:
    found = Work.of(entry(deadline=NOW + left)).barred()
    assert found == (Verdict("expired", {}, None) if barred else None)


def test_what_is_late_says_what_was_in_its_way(monkeypatch: pytest.MonkeyPatch) -> None:
    work = Work.of(entry())
    assert work.has_waited(LibvirtDown("it is away")) == 0
    monkeypatch.setattr(clock, "now", lambda: NOW + 60)
    assert work.has_waited(HypervisorBusy("it works")) == 60
    assert work.barred() == Verdict("expired", {}, {"type": "hypervisor_busy", "detail": "it works"})
