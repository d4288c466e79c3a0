"""What daemons say is hostile: every field of the wrong kind is refused, and every text is clean."""

import json
import time
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hosts.errors import BadPayload
from hosts.payloads import (
    MAX_DOMAINS,
    domain_details,
    domain_facts,
    domain_list,
    host_facts,
)
from hosts.untrusted import clean, clean_paragraphs, parse_json

from .factories import told_domain, told_host

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
HOST, DOMAIN = told_host(uuid4()), told_domain()


@pytest.mark.attack("Hostile daemon")
@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"\xff", b"[" * 100_000, b'{"a":' * 50_000, b"NaN", b"[Infinity]", b"1" * 10_000],
)
def test_what_is_no_json_is_refused(body: bytes) -> None:
    with pytest.raises(BadPayload):
        parse_json(body)


@pytest.mark.attack("Hostile daemon")
@pytest.mark.parametrize(
    "change",
    [
        {"id": "not-a-uuid"},
        {"id": None},
        {"hostname": 5},
        {"cpus": -1},
        {"cpus": True},
        {"cpus": "4"},
        {"memory": 2**63},
        {"memory": 2**63 - 1},
        {"memory_free": 2**53},
        {"cpus": 2**70},
        {"load": [float("inf")]},
        {"memory": 1.5},
        {"libvirt": None},
        {"libvirt": {"alive": "yes"}},
        {"load": [1, 2, 3, 4]},
        {"load": ["1"]},
        {"load": [-1]},
        {"features": "screenshot"},
        {"uuid": "UPPER"},
    ],
)
def test_a_host_that_says_nonsense_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(BadPayload):
        host_facts(HOST | change)


@pytest.mark.attack("Hostile daemon")
@pytest.mark.parametrize(
    "change",
    [
        {"uuid": "x"},
        {"uuid": str(uuid4()).upper()},
        {"name": 1},
        {"id": -1},
        {"vcpus": -1},
        {"memory": "much"},
        {"persistent": 1},
        {"metadata": []},
        {"metadata": {"tags": "web"}},
        {"metadata": {"tags": ["t"] * 257}},
        {"metadata": {"tags": [1]}},
        {"metadata": {"description": 1}},
    ],
)
def test_a_domain_that_makes_no_sense_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(BadPayload):
        domain_facts(DOMAIN | change)


@pytest.mark.parametrize("name", ["", None, "\x00\x1b", "\u202e", "\ufeff "])
def test_a_domain_without_a_name_to_be_shown_is_called_by_its_uuid(name: str | None) -> None:
    (found,) = domain_list({"domains": [DOMAIN | {"name": name}]})
    assert found["name"] == DOMAIN["uuid"]


@pytest.mark.parametrize("size", ["vcpus", "memory", "max_memory"])
def test_a_size_that_cannot_be_told_costs_no_other_domain(size: str) -> None:
    other = DOMAIN | {"uuid": str(uuid4())}
    unknown, known = domain_list({"domains": [DOMAIN | {size: None}, other]})
    assert (unknown[size], known[size]) == (0, DOMAIN[size])  # type: ignore[literal-required]  # of the three


@pytest.mark.attack("Hostile daemon")
@pytest.mark.parametrize(
    "listing",
    [
        None,
        [],
        {},
        {"domains": {}},
        {"domains": [1]},
        {"domains": [DOMAIN, DOMAIN]},
        {"domains": [None] * (MAX_DOMAINS + 1)},
    ],
)
def test_a_listing_that_makes_no_sense_is_refused(listing: object) -> None:
    with pytest.raises(BadPayload):
        domain_list(listing)


@pytest.mark.parametrize("field", sorted(HOST))
@given(value=ANYTHING)
def test_any_value_of_a_host_is_read_or_refused(field: str, value: object) -> None:
    try:
        host_facts(HOST | {field: value})
    except BadPayload:
        return


@pytest.mark.parametrize("field", [*sorted(DOMAIN), "disks", "interfaces", "graphics", "consoles", "boot"])
@given(value=ANYTHING)
def test_any_value_of_a_domain_is_read_or_refused(field: str, value: object) -> None:
    try:
        domain_details(DOMAIN | {field: value})
    except BadPayload:
        return


@pytest.mark.attack("Hostile guest")
@given(st.text())
def test_texts_have_no_control_characters(text: str) -> None:
    line, paragraphs = clean(text, 100), clean_paragraphs(text, 100)
    assert len(line) <= 100
    assert "\n" not in line
    for unwanted in "\x00\x1b\x7f\x9b\u202e\u2066\u2028\ud800\ufffe":
        assert unwanted not in line + paragraphs
    (line + paragraphs).encode()


def test_ordinary_texts_stay_as_they_are() -> None:
    for text in ("web-1", "Größe", "日本語", "🐧👩‍💻", "a <b> & 'c' ]]>"):
        assert clean(text, 100) == text
    assert clean_paragraphs("one\n\ttwo", 100) == "one\n\ttwo"


def test_a_state_of_a_newer_libvirt_is_unknown() -> None:
    assert domain_facts(DOMAIN | {"state": "dreaming"})["state"] == "unknown"
    assert domain_facts(DOMAIN | {"state": ["running"]})["state"] == "unknown"


def test_unknown_fields_are_ignored() -> None:
    assert host_facts(HOST | {"new": 1})["hostname"] == "hv-01"
    assert domain_facts(DOMAIN | {"new": 1})["tags"] == ["web"]


def test_details() -> None:
    details = domain_details(
        DOMAIN
        | {
            "disks": [{"target": "vda", "bus": "virtio", "readonly": True}],
            "interfaces": [{"mac": "52:54:00:00:00:01", "addresses": ["192.0.2.7"]}],
            "graphics": [{"type": "vnc", "port": -1}, {"type": "spice", "port": 5900}],
            "consoles": [{"type": "pty", "target": "serial"}],
            "boot": ["hd"],
            "xml_hash": "ab" * 32,
        }
    )
    assert details["uuid"] == UUID(DOMAIN["uuid"])
    assert details["disks"][0]["readonly"]
    assert details["interfaces"][0]["addresses"] == ["192.0.2.7"]
    assert [graphics["port"] for graphics in details["graphics"]] == [None, 5900]


def test_the_listings_of_a_thousand_hosts_cost_little() -> None:
    body = json.dumps({"domains": [told_domain(name=f"vm-{number}") for number in range(5000)]}).encode()
    begun = time.process_time()
    assert len(domain_list(parse_json(body))) == 5000
    # 20,000 domains a minute are a few per cent of a core at this price.
    assert time.process_time() - begun < 1.5
