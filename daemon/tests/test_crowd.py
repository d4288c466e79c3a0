"""Who gives way when there are too many connections."""

from __future__ import annotations

from dataclasses import dataclass

from virshmanagerd.crowd import Crowd


@dataclass(eq=False)
class Guest:
    """A connection, as a crowd sees it."""

    source: str
    busy: bool = False


def test_the_oldest_of_the_same_source_gives_way() -> None:
    crowd: Crowd[Guest] = Crowd(total=9, per_source=2)
    other, first, second, third = Guest("b"), Guest("a"), Guest("a"), Guest("a")
    assert [crowd.add(guest) for guest in (other, first, second, third)] == [None, None, None, first]
    assert crowd.members() == [other, second, third]


def test_the_oldest_of_all_gives_way() -> None:
    crowd: Crowd[Guest] = Crowd(total=2, per_source=2)
    first, second, third = Guest("a"), Guest("b"), Guest("c")
    assert [crowd.add(guest) for guest in (first, second, third)] == [None, None, first]


def test_who_is_being_answered_stays() -> None:
    crowd: Crowd[Guest] = Crowd(total=9, per_source=2)
    busy, waiting, new = Guest("a", busy=True), Guest("a"), Guest("a")
    assert [crowd.add(guest) for guest in (busy, waiting, new)] == [None, None, waiting]


def test_when_all_are_busy_the_oldest_gives_way() -> None:
    crowd: Crowd[Guest] = Crowd(total=9, per_source=1)
    busy = Guest("a", busy=True)
    crowd.add(busy)
    assert crowd.add(Guest("a")) is busy


def test_leaving_makes_room() -> None:
    crowd: Crowd[Guest] = Crowd(total=1, per_source=1)
    first, second = Guest("a"), Guest("a")
    crowd.add(first)
    crowd.discard(first)
    crowd.discard(first)
    assert crowd.add(second) is None
    assert len(crowd) == 1
