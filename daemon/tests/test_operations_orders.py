"""The body of an order: what is refused, and what is made of the rest."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from virshmanagerd.operations import orders
from virshmanagerd.operations.orders import ARGS, Order
from virshmanagerd.web import Problem

NOBODY = "6a1e7a5c-0000-4000-8000-000000000000"
DOMAIN = {"type": "domain", "uuid": NOBODY}
HASH = "0123456789abcdef" * 4
HALF_MIB = 512 * 1024


def read(**changes: Any) -> Order:
    return orders.read({"verb": "start", "target": DOMAIN, "args": {}, "deadline": 5, **changes})


def described(**args: Any) -> Order:
    return read(verb="metadata", args=args)


def defined(xml: Any = "x", **changes: Any) -> Order:
    return read(**{"verb": "define", "target": {"type": "host"}, "args": {"xml": xml}, **changes})


def refusal(order: Any, *args: Any, **changes: Any) -> str:
    with pytest.raises(Problem) as refused:
        order(*args, **changes)
    assert (refused.value.type, refused.value.status) == ("bad_operation", 422)
    return refused.value.detail


@pytest.mark.parametrize("verb", [None, "format", ["start"], "", "x" * 10_000])
def test_there_is_no_such_verb(verb: Any) -> None:
    said = refusal(read, verb=verb)
    assert f"there is no such verb: {str(verb)[:40]!r}" in said
    assert len(said) < 100


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (None, "type domain"),
        ("web", "target must be an object"),
        ({"type": "host"}, "type domain"),
        ({"type": "domain"}, "must be a UUID"),
        ({"type": "domain", "uuid": "web"}, "must be a UUID"),
        ({"type": "domain", "uuid": 7}, "must be a UUID"),
    ],
)
def test_what_is_no_target_of_a_domains_verb(target: Any, said: str) -> None:
    assert said in refusal(read, target=target)


def test_a_domain_is_defined_on_the_host() -> None:
    assert "type host" in refusal(defined, target=DOMAIN)
    assert defined(target={"type": "host", "uuid": "x"}).target == {"type": "host"}


def test_a_uuid_is_written_in_one_way() -> None:
    for text in (NOBODY.upper(), f"{{{NOBODY}}}", NOBODY.replace("-", "")):
        assert read(target={"type": "domain", "uuid": text, "name": "x"}).target == DOMAIN
        assert orders.canonical_id(text) == NOBODY
    for wrong in ("", "1", NOBODY[:-1], None, 7, [NOBODY]):
        assert orders.canonical_id(wrong) is None


@pytest.mark.parametrize(
    "deadline",
    [None, "5", True, 0, -1, float("nan"), float("inf"), 7 * 86400 + 0.001, 10**400, [5]],
    ids=repr,
)
def test_what_is_no_deadline(deadline: Any) -> None:
    assert "deadline" in refusal(read, deadline=deadline)


@pytest.mark.parametrize("deadline", [0.001, 1, 7 * 86400])
def test_a_deadline_is_within_a_week(deadline: float) -> None:
    found = read(deadline=deadline).deadline
    assert (found, type(found)) == (deadline, float)


def test_a_journal_may_be_named() -> None:
    assert "journal_id" in refusal(read, journal_id=7)
    assert read(journal_id="j").journal_id == "j"
    assert read().journal_id == read(journal_id=None).journal_id == ""


@pytest.mark.parametrize("verb", sorted(ARGS.keys() - {"autostart", "metadata", "define"}))
def test_most_verbs_take_nothing(verb: str) -> None:
    assert "takes no args" in refusal(read, verb=verb, args={"force": True})
    assert "args must be an object" in refusal(read, verb=verb, args=[])
    order = Order(verb, DOMAIN, {}, {}, 5.0, "")
    assert read(verb=verb, args={}) == read(verb=verb, args=None) == order


@pytest.mark.parametrize("args", [{}, {"enabled": 1}, {"enabled": None}, {"enabled": True, "once": True}])
def test_autostart_is_true_or_false(args: Any) -> None:
    assert "enabled" in refusal(read, verb="autostart", args=args)
    assert read(verb="autostart", args={"enabled": False}).args == {"enabled": False}


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ({}, "title, description and tags"),
        ({"name": "other"}, "title, description and tags"),
        ({"title": "a", "name": "other"}, "title, description and tags"),
        ({"title": None}, "title must be a text"),
        ({"title": "x" * 256}, "title must be a text of at most 255 characters"),
        ({"title": "two\nlines"}, "title must not have control characters"),
        ({"title": "\x00"}, "title must not have control characters"),
        ({"title": "\ud800"}, "title must not have control characters"),
        ({"title": "\ufffe"}, "title must not have control characters"),
        ({"title": "\uffff"}, "title must not have control characters"),
        ({"description": "x" * 8193}, "description must be a text of at most 8192 characters"),
        ({"description": "\x1b[31m"}, "description must not have control characters"),
        ({"description": "\r\n"}, "description must not have control characters"),
        ({"tags": "web"}, "tags must be a list"),
        ({"tags": ["x"] * 65}, "tags must be a list of at most 64"),
        ({"tags": ["x" * 65]}, "a tag must be a text of at most 64 characters"),
        ({"tags": ["x", " "]}, "a tag must not be empty"),
        ({"tags": [7]}, "a tag must be a text"),
        ({"tags": ["a\tb"]}, "a tag must not have control characters"),
    ],
)
def test_texts_that_would_not_come_back_as_they_were_sent(args: Any, said: str) -> None:
    assert said in refusal(described, **args)


@pytest.mark.parametrize(
    "args",
    [
        {"title": "é" * 255, "description": "é" * 8192, "tags": ["é" * 64] * 64},
        {"title": "", "description": "", "tags": []},
        {"description": "two\n\tlines"},
        {"title": "<b>'\"&;\u2028\U0001f600"},
    ],
    ids=["long", "empty", "lines", "hard"],
)
def test_texts_are_taken_as_they_are(args: Any) -> None:
    assert described(**args).args == args


@pytest.mark.parametrize("args", [None, {}, {"xml": 7}, {"xml": "x", "force": True}])
def test_a_definition_is_xml(args: Any) -> None:
    assert "xml" in refusal(defined, args=args)


def test_xml_has_half_a_mebibyte_at_most() -> None:
    for xml in ("x" * HALF_MIB, "é" * (HALF_MIB // 2), "\ud800"):
        assert defined(xml).args == {"xml": xml}
    for xml in ("x" * (HALF_MIB + 1), "é" * (HALF_MIB // 2) + "x"):
        assert "at most 524288 bytes" in refusal(defined, xml)


@pytest.mark.parametrize(
    "precondition",
    [
        {"xml_hash": "x"},
        {"xml_hash": HASH.upper()},
        {"xml_hash": HASH + "0"},
        {"xml_hash": HASH + "\n"},
        {"xml_hash": 7},
        {"xml_hash": HASH, "etag": "x"},
        {"etag": "x"},
    ],
)
def test_what_is_no_precondition(precondition: Any) -> None:
    assert "xml_hash" in refusal(defined, precondition=precondition)


def test_only_a_definition_has_a_precondition() -> None:
    assert "precondition must be an object" in refusal(defined, precondition=[])
    assert "xml_hash" in refusal(read, precondition={"xml_hash": None})
    for precondition in ({}, {"xml_hash": None}, {"xml_hash": HASH}):
        assert defined(precondition=precondition).precondition == precondition


def test_the_same_is_asked_whenever_it_is_to_be_done() -> None:
    order = defined("<a/>", precondition={"xml_hash": None})
    again = defined("<a/>", precondition={"xml_hash": None}, deadline=9, journal_id="j")
    assert order.fingerprint == again.fingerprint
    assert described(title="a", tags=[]).fingerprint == described(tags=[], title="a").fingerprint


def test_something_else_is_asked() -> None:
    asked = [
        read(),
        read(verb="reset"),
        read(target={"type": "domain", "uuid": NOBODY.replace("6", "7")}),
        described(title="a"),
        described(title="b"),
        defined(),
        defined(precondition={"xml_hash": None}),
    ]
    assert len({order.fingerprint for order in asked}) == len(asked)


def test_a_fingerprint_outlives_a_new_version() -> None:
    """It is in the journal, and what the server sends again must be told from something else."""
    text = f'["start", {{"type": "domain", "uuid": "{NOBODY}"}}, {{}}, {{}}]'
    assert read().fingerprint == hashlib.sha256(text.encode()).hexdigest()
