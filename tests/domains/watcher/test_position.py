"""How far the events of a host are known."""

import pytest

from domains.watcher.position import Position
from hosts.errors import ProtocolError
from hosts.events import Hello, HostEvent


def event(epoch: str, seq: int) -> HostEvent:
    return HostEvent(epoch, seq, "host.changed", "")


@pytest.fixture
def position() -> Position:
    found = Position()
    found.begin(Hello("e1", 7, replayed=False))
    return found


@pytest.mark.parametrize("seq", [1, 7])
def test_an_event_from_before_is_refused(position: Position, seq: int) -> None:
    with pytest.raises(ProtocolError):
        position.advance(event("e1", seq))
    assert str(position) == "e1:7"


@pytest.mark.parametrize(("epoch", "seq"), [("e1", 9), ("e2", 1), ("e2", 8)])
def test_after_a_gap_it_goes_on_from_there(position: Position, epoch: str, seq: int) -> None:
    assert not position.advance(event(epoch, seq))
    assert position.advance(event(epoch, seq + 1))


def test_a_replay_is_worth_nothing_to_who_knows_nothing() -> None:
    position = Position()
    assert str(position) == ""
    assert not position.begin(Hello("e1", 7, replayed=True))
    assert str(position) == "e1:7"
    position.forget()
    assert str(position) == ""


def test_it_works(position: Position) -> None:
    assert position.advance(event("e1", 8))
    assert position.begin(Hello("e1", 12, replayed=True))
    assert str(position) == "e1:8"
    assert not position.begin(Hello("e2", 3, replayed=False))
    assert str(position) == "e2:3"
