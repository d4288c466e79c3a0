from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from virshmanagerd.errors import InvalidXML
from virshmanagerd.safexml import MAX_BYTES, MAX_DEPTH, parse

BOMB = """<?xml version="1.0"?><!DOCTYPE d [<!ENTITY a "x"><!ENTITY b "&a;&a;&a;">]><d>&b;</d>"""


@pytest.mark.attack("XML")
@pytest.mark.parametrize(
    "text",
    [
        BOMB,
        "<!DOCTYPE d><d/>",
        '<!DOCTYPE d SYSTEM "file:///etc/passwd"><d/>',
        '<!DOCTYPE d [<!ENTITY x SYSTEM "file:///etc/passwd">]><d>&x;</d>',
        "<d>&undefined;</d>",
    ],
)
def test_declarations_and_entities_are_refused(text: str) -> None:
    with pytest.raises(InvalidXML):
        parse(text)


@pytest.mark.attack("XML")
@pytest.mark.parametrize(
    "text", ["", " ", "text", "<d>", "<d></e>", "<d/><d/>", "<d>\x00</d>", "<d>\x1b</d>", "<d>\ud800</d>"]
)
def test_what_is_no_xml_is_refused(text: str) -> None:
    with pytest.raises(InvalidXML):
        parse(text)


@pytest.mark.attack("XML")
def test_a_megabyte_is_refused() -> None:
    with pytest.raises(InvalidXML, match="larger"):
        parse("<d>" + "x" * MAX_BYTES + "</d>")


@pytest.mark.attack("XML")
def test_bytes_count_not_characters() -> None:
    with pytest.raises(InvalidXML, match="larger"):
        parse("<d>" + "🖥" * (MAX_BYTES // 4) + "</d>")


@pytest.mark.attack("XML")
def test_deep_nesting_is_refused() -> None:
    assert parse("<d>" * MAX_DEPTH + "</d>" * MAX_DEPTH).tag == "d"
    with pytest.raises(InvalidXML, match="nested"):
        parse("<d>" * (MAX_DEPTH + 1) + "</d>" * (MAX_DEPTH + 1))


def test_an_encoding_in_the_declaration_is_ignored() -> None:
    assert parse('<?xml version="1.0" encoding="latin-1"?><d>ä</d>').text == "ä"


def test_it_reads_as_the_standard_library_does() -> None:
    text = '<d xmlns:v="urn:v" a="1" v:b="2"><v:e>t<!-- c --><![CDATA[<]]>&lt;</v:e>tail</d>'
    assert ET.tostring(parse(text)) == ET.tostring(ET.fromstring(text))  # noqa: S314 - our own text


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parse(f"<d>{text}</d>")
    except InvalidXML:
        return
