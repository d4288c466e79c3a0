from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from virshmanagerd.text import clean, to_json


@pytest.mark.parametrize("char", ["\x00", "\x1b", "\x7f", "\x9b", "\n", "\t", "\ud800"])
def test_control_characters_and_surrogates_go(char: str) -> None:
    assert clean(f"a{char}b", 10) == "ab"


def test_line_ends_stay_where_lines_are_meant() -> None:
    assert clean("a\nb\tc\r\x00d", 20, lines=True) == "a\nb\tcd"


def test_other_scripts_stay() -> None:
    assert clean("Größe 你好 🖥", 20) == "Größe 你好 🖥"


@given(st.text(), st.integers(0, 20))
def test_the_result_is_short_and_can_be_written(text: str, limit: int) -> None:
    result = clean(text, limit)
    assert len(result) <= limit
    result.encode()


def test_json_is_escaped_only_for_what_utf_8_cannot_say() -> None:
    assert to_json({"a": "Größe 🖥\n"}) == '{"a": "Größe 🖥\\n"}'
    assert to_json(["🖥", "\ud83d"]) == r'["\ud83d\udda5", "\ud83d"]'


@given(st.text(st.characters(exclude_categories=[])))
def test_json_can_be_written(text: str) -> None:
    json.loads(to_json(text).encode())
