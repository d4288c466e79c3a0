"""What each verb makes of a domain as it is: before it begins, and after a crash in its middle."""

from __future__ import annotations

from dataclasses import replace

import pytest

from virshmanagerd.driver import Facts, Stored
from virshmanagerd.driver.single import xml_hash
from virshmanagerd.errors import InvalidXML, NoSuchDomain, WrongState, XmlChanged
from virshmanagerd.journal import Entry, Json
from virshmanagerd.operations import checks
from virshmanagerd.operations.observing import Seen, converges
from virshmanagerd.operations.verbs import VERBS
from virshmanagerd.states import ACTIVE, STATES, UNKNOWN

UUID = "6f1c1f0e-3d0a-4c55-9a7e-0c7f4a8f2b11"

# + it may begin, = its effect is there already, - it is refused. What is unknown is in memory here.
ALLOWED = """
          running blocked paused shutdown shutoff crashed pmsuspended unknown
start     -       -       -      -        +       +       -           -
restore   -       -       -      -        +       +       -           -
shutdown  +       +       -      +        =       =       -           -
reboot    +       +       -      -        -       -       -           -
reset     +       +       +      +        -       -       +           +
destroy   +       +       +      +        =       =       +           +
suspend   +       +       =      -        -       -       -           -
resume    =       =       +      -        -       -       -           -
save      +       +       +      -        -       -       -           -
undefine  -       -       -      -        +       +       -           -
metadata  +       +       +      +        +       +       +           +
"""
HEADER, *ROWS = (line.split() for line in ALLOWED.strip().splitlines())

STORED = Stored(persistent=True, autostart=False, managed_save=True, xml="")


def facts(
    state: str = "running",
    *,
    number: int = 7,
    persistent: bool = True,
    autostart: bool = False,
    saved: bool = False,
    kept: str = "",
) -> Facts:
    stored = Stored(persistent=persistent, autostart=autostart, managed_save=saved, xml=kept)
    return Facts(number if state in {*ACTIVE, UNKNOWN} else None, state, stored=stored)


def entry(verb: str, *, args: Json | None = None, seen: Json | None = None, **more: object) -> Entry:
    target = {"type": "domain", "uuid": UUID}
    return Entry(UUID, "f", verb, target, args or {}, seen or {}, 0.0, **more)  # type: ignore[arg-type]


def check(asked: Entry, found: Facts | None) -> Json | None:
    return VERBS[asked.verb].check(as_asked(asked, found), asked)


def observe(asked: Entry, found: Facts | None) -> Seen:
    return VERBS[asked.verb].observe(as_asked(asked, found), asked)


def as_asked(asked: Entry, found: Facts | None) -> Facts | None:
    """What its verb gets to see: what is stored is there only for those that ask for it."""
    return found if found is None or VERBS[asked.verb].stored else replace(found, stored=None)


def xml(title: str = "", *, name: str = "d", uuid: str = UUID, tags: str = "") -> str:
    return (
        f"<domain><name>{name}</name><uuid>{uuid}</uuid><title>{title}</title><description>D</description>"
        f"<metadata><tags xmlns='urn:virshmanager:domain:1'>{tags}</tags></metadata></domain>"
    )


def test_every_verb_is_tried_in_every_state() -> None:
    assert set(HEADER) == set(STATES)
    assert {verb for verb, *_ in ROWS} == set(VERBS) - {"autostart", "define"}


@pytest.mark.parametrize("verb", ["start", "restore", "shutdown", "undefine", "save"])
def test_a_crashed_guest_that_is_in_memory_still_is_not_off(verb: str) -> None:
    preserved = Facts(7, "crashed", stored=STORED)
    with pytest.raises(WrongState):
        check(entry(verb), preserved)


def test_a_crashed_guest_that_is_in_memory_still_is_forced_off() -> None:
    preserved = Facts(7, "crashed")
    assert check(entry("destroy"), preserved) == {"id": 7}
    assert observe(entry("destroy", remembered={"id": 7}), preserved) is Seen.ABSENT


@pytest.mark.parametrize("verb", sorted(set(VERBS) - {"define"}))
def test_a_domain_that_is_not_there(verb: str) -> None:
    with pytest.raises(NoSuchDomain, match="no domain has this UUID"):
        check(entry(verb, args={"enabled": True}), None)


@pytest.mark.parametrize(
    ("verb", "state", "sign"),
    [(verb, state, sign) for verb, *signs in ROWS for state, sign in zip(HEADER, signs, strict=True)],
)
def test_what_a_state_allows(verb: str, state: str, sign: str) -> None:
    found = facts(state, saved=verb == "restore")
    if sign == "-":
        with pytest.raises(WrongState, match="the domain is"):
            check(entry(verb), found)
    else:
        assert (check(entry(verb), found) is None) == (sign == "=")


def test_what_is_remembered_to_judge_by_later() -> None:
    off = facts("shutoff", saved=True)
    assert check(entry("start"), off) == check(entry("restore"), off) == {"active": False}
    assert check(entry("shutdown"), facts()) == check(entry("destroy"), facts()) == {"id": 7}
    for verb in ("reboot", "reset", "suspend", "save", "metadata"):
        assert check(entry(verb), facts()) == {}
    assert check(entry("resume"), facts("paused")) == {}
    assert check(entry("undefine"), facts("shutoff")) == {}


def test_what_was_never_saved_is_not_restored() -> None:
    with pytest.raises(WrongState, match="no saved state"):
        check(entry("restore"), facts("shutoff"))


def test_what_is_saved_is_not_saved_again() -> None:
    assert check(entry("save"), facts("shutoff", saved=True)) is None
    assert check(entry("save"), facts(saved=True)) == {}  # it has run since


@pytest.mark.parametrize("verb", ["save", "autostart"])
def test_what_a_transient_domain_cannot_keep(verb: str) -> None:
    with pytest.raises(WrongState, match="transient"):
        check(entry(verb, args={"enabled": True}), facts(persistent=False))


@pytest.mark.parametrize("wanted", [True, False])
def test_autostart_is_set_when_it_is_not_so(*, wanted: bool) -> None:
    asked = entry("autostart", args={"enabled": wanted})
    for found, expected, seen in (
        (facts(autostart=wanted), None, Seen.APPLIED),
        (facts(autostart=not wanted), {}, Seen.ABSENT),
    ):
        assert check(asked, found) == expected
        assert observe(asked, found) is seen


def test_xml_that_was_changed_since_it_was_read_is_not_replaced() -> None:
    for seen, found in ((xml("old"), facts(kept=xml("new"))), (xml("old"), None), (None, facts(kept=xml()))):
        digest = None if seen is None else xml_hash(seen)
        with pytest.raises(XmlChanged, match="not what it was"):
            check(entry("define", args={"xml": xml()}, seen={"xml_hash": digest}), found)


def test_xml_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(InvalidXML):
        check(entry("define", args={"xml": "<"}), None)


def test_a_definition_remembers_what_was_before() -> None:
    args, old = {"xml": xml("new")}, xml_hash(xml("old"))
    before: tuple[tuple[Facts | None, str | None], ...] = ((facts(kept=xml("old")), old), (None, None))
    for found, digest in before:
        for seen in ({"xml_hash": digest}, {}):
            asked = entry("define", args=args, seen=seen)
            assert check(asked, found) == {"uuid": UUID, "before": digest}


def test_a_start_is_there_when_the_domain_is_in_memory() -> None:
    for verb in ("start", "restore"):
        assert observe(entry(verb), facts("paused")) is Seen.APPLIED
        assert observe(entry(verb), facts("shutoff", saved=True)) is Seen.ABSENT
        with pytest.raises(NoSuchDomain):
            observe(entry(verb), None)
    assert observe(entry("start"), facts("shutoff")) is Seen.ABSENT


def test_a_guest_whose_saved_state_was_used_up_is_not_restored_again() -> None:
    with pytest.raises(WrongState, match="no saved state any more"):
        observe(entry("restore"), facts("shutoff"))


@pytest.mark.parametrize(("verb", "otherwise"), [("shutdown", Seen.PENDING), ("destroy", Seen.ABSENT)])
def test_a_guest_is_gone_when_it_is_not_the_one_of_before(verb: str, otherwise: Seen) -> None:
    asked = entry(verb, remembered={"id": 7})
    assert observe(asked, facts()) is otherwise
    assert observe(asked, facts(number=8)) is Seen.APPLIED
    assert observe(asked, facts("shutoff")) is Seen.APPLIED
    assert observe(asked, None) is Seen.APPLIED
    assert observe(entry(verb, remembered={"id": 7}, rebooted=True), facts()) is Seen.APPLIED


@pytest.mark.parametrize("verb", ["reboot", "reset"])
def test_nothing_tells_of_a_reboot(verb: str) -> None:
    assert observe(entry(verb), facts()) is observe(entry(verb), None) is Seen.UNTOLD


def test_what_a_check_finds_there_already_is_there() -> None:
    found = converges(checks.autostart)
    assert found(facts(autostart=True), entry("autostart", args={"enabled": True})) is Seen.APPLIED
    assert found(facts(autostart=True), entry("autostart", args={"enabled": False})) is Seen.ABSENT


def test_a_state_that_is_set_is_seen() -> None:
    assert observe(entry("suspend"), facts("paused")) is Seen.APPLIED
    assert observe(entry("suspend"), facts()) is Seen.ABSENT
    assert observe(entry("resume"), facts()) is Seen.APPLIED
    assert observe(entry("resume"), facts("paused")) is Seen.ABSENT
    assert observe(entry("save"), facts("shutoff", saved=True)) is Seen.APPLIED
    assert observe(entry("save"), facts()) is Seen.ABSENT


def test_what_is_undefined_is_gone() -> None:
    assert observe(entry("undefine"), None) is Seen.APPLIED
    assert observe(entry("undefine"), facts("shutoff")) is Seen.ABSENT


@pytest.mark.parametrize(
    ("args", "seen"),
    [
        ({"title": " T "}, Seen.APPLIED),
        ({"title": ""}, Seen.ABSENT),
        ({"description": "D\n"}, Seen.APPLIED),
        ({"tags": [" a", "b", "a"]}, Seen.APPLIED),
        ({"tags": ["b", "a"]}, Seen.ABSENT),
        ({"title": "T", "description": "E"}, Seen.ABSENT),
        ({"title": "T", "description": "D", "tags": ["a", "b"]}, Seen.APPLIED),
    ],
)
def test_texts_are_compared_as_they_are_read(args: Json, seen: Seen) -> None:
    found = facts(kept=xml("T", tags="<tag>a</tag><tag>b</tag>"))
    assert observe(entry("metadata", args=args), found) is seen


def test_texts_that_were_removed_are_gone() -> None:
    found = facts(kept="<domain/>")
    args = {"title": "", "description": " ", "tags": []}
    assert observe(entry("metadata", args=args), found) is Seen.APPLIED
    with pytest.raises(NoSuchDomain):
        observe(entry("metadata", args={"title": ""}), None)


@pytest.mark.parametrize("before", [None, xml("old")])
def test_a_definition_is_there_or_what_was_before_or_somebody_elses(before: str | None) -> None:
    digest = None if before is None else xml_hash(before)
    asked = entry("define", args={"xml": xml("new")}, remembered={"uuid": UUID, "before": digest})
    assert observe(asked, None if before is None else facts(kept=before)) is Seen.ABSENT
    assert observe(asked, facts(kept=xml("new"))) is Seen.APPLIED
    with pytest.raises(XmlChanged, match="by somebody else"):
        observe(asked, facts(kept=xml("another")))


def test_a_definition_that_somebody_removed_is_not_made_again() -> None:
    remembered = {"uuid": UUID, "before": xml_hash(xml("old"))}
    with pytest.raises(XmlChanged, match="by somebody else"):
        observe(entry("define", args={"xml": xml("new")}, remembered=remembered), None)
