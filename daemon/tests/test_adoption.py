"""What is remembered of servers that began an adoption."""

from __future__ import annotations

import pytest

from virshmanagerd import adoption
from virshmanagerd.adoption import Starts
from virshmanagerd.attempts import MAX_SOURCES
from virshmanagerd.enrolment import NONCE_BYTES


def test_a_source_without_a_start_has_none() -> None:
    assert Starts().take("192.0.2.1") is None


def test_a_start_is_taken_once() -> None:
    starts = Starts()
    begun = starts.begin("192.0.2.1", b"n", b"s")
    assert (begun.server_nonce, begun.salt, len(begun.daemon_nonce)) == (b"n", b"s", NONCE_BYTES)
    assert starts.take("192.0.2.1") == begun
    assert starts.take("192.0.2.1") is None


def test_a_start_is_of_its_source_alone() -> None:
    starts = Starts()
    begun = starts.begin("192.0.2.1", b"n", b"s")
    assert starts.take("192.0.2.2") is None
    assert starts.take("192.0.2.1") == begun


def test_the_newest_start_of_a_source_counts() -> None:
    starts = Starts()
    first, second = (starts.begin("192.0.2.1", b"n", b"s") for _ in range(2))
    assert first.daemon_nonce != second.daemon_nonce
    assert starts.take("192.0.2.1") == second


def test_a_start_ends_by_itself() -> None:
    now = 0.0
    starts = Starts(lambda: now)
    starts.begin("192.0.2.1", b"n", b"s")
    now = adoption.START_LASTS
    assert starts.take("192.0.2.1") is None


def test_strangers_cannot_fill_the_memory() -> None:
    starts = Starts()
    for number in range(MAX_SOURCES + 1):
        starts.begin(f"10.0.{number // 256}.{number % 256}", b"n", b"s")
    assert starts.take("10.0.0.0") is None
    assert starts.take("10.0.0.1") is not None


def test_who_began_longest_ago_is_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adoption, "MAX_SOURCES", 2)
    starts = Starts()
    for number in (1, 2, 1, 3):
        starts.begin(f"192.0.2.{number}", b"n", b"s")
    assert [bool(starts.take(f"192.0.2.{number}")) for number in (1, 2, 3)] == [True, False, True]
