"""How often one source may try."""

from __future__ import annotations

import pytest

from virshmanagerd import attempts
from virshmanagerd.attempts import Attempts


class Clock:
    """A clock that is moved by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_beyond_the_burst_one_waits() -> None:
    clock = Clock()
    limit = Attempts(3, 10.0, clock)
    assert [limit.wait("192.0.2.1") for _ in range(5)] == [0, 0, 0, 10, 10]
    clock.now += 9.5
    assert limit.wait("192.0.2.1") == 1
    clock.now += 0.5
    assert [limit.wait("192.0.2.1") for _ in range(2)] == [0, 10]


def test_another_source_is_not_held_up() -> None:
    limit = Attempts(1, 10.0, Clock())
    assert [limit.wait("192.0.2.1"), limit.wait("192.0.2.1"), limit.wait("192.0.2.2")] == [0, 10, 0]


def test_the_burst_comes_back() -> None:
    clock = Clock()
    limit = Attempts(2, 10.0, clock)
    assert [limit.wait("192.0.2.1") for _ in range(3)] == [0, 0, 10]
    clock.now += 1000
    assert [limit.wait("192.0.2.1") for _ in range(3)] == [0, 0, 10]


def test_many_sources_take_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "MAX_SOURCES", 10)
    limit = Attempts(1, 10.0, Clock())
    for number in range(100):
        assert limit.wait(f"192.0.2.{number}") == 0
    assert len(limit._full_at) == 10


def test_who_was_heard_longest_ago_is_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "MAX_SOURCES", 2)
    limit = Attempts(1, 10.0, Clock())
    waits = [limit.wait(f"192.0.2.{number}") for number in (1, 2, 3, 3, 2, 1)]
    assert waits == [0, 0, 0, 10, 10, 0]


@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::ffff:2", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("fe80::%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_source(address: str, source: str) -> None:
    assert attempts.source(address) == source
