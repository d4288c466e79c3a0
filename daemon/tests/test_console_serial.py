"""A serial console that several look at, with a guest and clients that do what a test wants."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from fakepipe import FakePipe
from hypervisors import eventually

from virshmanagerd.consoles import MOST_OPENING_ONE, Consoles, Mode, serial
from virshmanagerd.consoles.serial import MOST_UNTYPED, REPLAY_BYTES, RING_BYTES
from virshmanagerd.driver import End, Listener
from virshmanagerd.driver.eventloop import LOOP
from virshmanagerd.errors import ConsoleBusy, NoSuchDomain, QueueFull

UUID = str(uuid.uuid4())


class FakeLine:
    """A guest's serial line. With ``reads`` False it takes nothing of what is typed."""

    def __init__(self, listener: Listener) -> None:
        self.listener = listener
        self.reads = True
        self.typed = b""
        self.waiting = b""
        self.closed = 0

    @property
    def untyped(self) -> int:
        return len(self.waiting)

    def type(self, data: bytes) -> None:
        self.waiting += data
        if self.reads:
            self.read()

    def read(self) -> None:
        self.typed, self.waiting = self.typed + self.waiting, b""
        self.listener.written()

    def forget_untyped(self) -> None:
        self.waiting = b""

    def close(self, then: Callable[[], None]) -> None:
        self.closed += 1
        then()


class Guests:
    """Opens serial lines, as the driver does."""

    def __init__(self) -> None:
        self.lines: list[FakeLine] = []
        self.taken: list[bool] = []
        self.error: Exception | None = None
        self.gate = threading.Event()
        self.gate.set()

    def open_serial(self, _uuid: str, listener: Listener, *, take: bool) -> FakeLine:
        assert self.gate.wait(5)
        if self.error:
            raise self.error
        self.taken.append(take)
        self.lines.append(FakeLine(listener))
        return self.lines[-1]

    def open_vnc(self, _uuid: str) -> Any:
        raise NotImplementedError

    def find_end(self, _uuid: str, _tell: object) -> None:
        raise NotImplementedError


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    LOOP.ensure_running()
    monkeypatch.setattr(serial, "GRACE_SECONDS", 0.05)


@pytest.fixture
def guests() -> Guests:
    return Guests()


@pytest.fixture
def consoles(guests: Guests) -> Consoles:
    return Consoles(guests)


def come(consoles: Consoles, mode: Mode = Mode.ASK, name: str = UUID) -> FakePipe:
    pipe = FakePipe(consoles.serial(name, mode))
    pipe.open()
    return pipe


def test_what_is_no_uuid_names_no_domain(consoles: Consoles) -> None:
    with pytest.raises(NoSuchDomain):
        consoles.serial("guest", Mode.ASK)


def test_what_cannot_be_opened_can_be_tried_again(consoles: Consoles, guests: Guests) -> None:
    guests.error = ConsoleBusy()
    for _ in range(2):
        with pytest.raises(ConsoleBusy):
            consoles.serial(UUID, Mode.ASK)
    guests.error = None
    assert come(consoles).told[0]["type"] == "ready"


def test_a_second_who_wants_to_write_is_refused(consoles: Consoles) -> None:
    first, second = come(consoles), come(consoles)
    assert (first.code, second.code) == (None, 4409)
    assert second.told == []


def test_who_looks_on_cannot_type(consoles: Consoles, guests: Guests) -> None:
    writer, viewer = come(consoles), come(consoles, Mode.VIEW)
    viewer.receive(b"no")
    writer.receive(b"yes")
    writer.receive('{"type": "resize", "cols": 80, "rows": 25}')
    assert guests.lines[0].typed == b"yes"


def test_one_who_was_sent_away_cannot_type(consoles: Consoles, guests: Guests) -> None:
    first = come(consoles)
    second = come(consoles, Mode.TAKE)
    first.receive(b"no")
    second.receive(b"yes")
    assert (first.code, second.code, guests.lines[0].typed) == (4410, None, b"yes")


def test_it_is_opened_once_for_all(consoles: Consoles, guests: Guests) -> None:
    pipes = [come(consoles), *(come(consoles, Mode.VIEW, UUID.upper()) for _ in range(3))]
    guests.lines[0].listener.output(b"hello")
    for pipe in pipes:
        pipe.turn()
        assert pipe.data == b"hello"
    assert len(guests.lines) == 1


def test_those_who_come_at_once_open_it_once(consoles: Consoles, guests: Guests) -> None:
    guests.gate.clear()
    opened: list[object] = []
    threads = [
        threading.Thread(target=lambda: opened.append(consoles.serial(UUID, Mode.VIEW))) for _ in range(5)
    ]
    for thread in threads:
        thread.start()
    guests.gate.set()
    for thread in threads:
        thread.join(5)
    assert (len(opened), len(guests.lines)) == (5, 1)


def test_who_comes_to_one_that_does_not_open_leaves_room_for_others(
    consoles: Consoles, guests: Guests
) -> None:
    guests.gate.clear()
    threads = [
        threading.Thread(target=lambda: consoles.serial(UUID, Mode.VIEW)) for _ in range(MOST_OPENING_ONE)
    ]
    for thread in threads:
        thread.start()
    eventually(lambda: len(consoles._opening) == MOST_OPENING_ONE)
    with pytest.raises(QueueFull):
        consoles.serial(UUID, Mode.VIEW)
    guests.gate.set()
    assert come(consoles, name=str(uuid.uuid4())).code is None
    for thread in threads:
        thread.join(5)
    assert come(consoles).code is None


def test_everybody_is_told_how_many_look(consoles: Consoles) -> None:
    writer = come(consoles)
    viewer = come(consoles, Mode.VIEW)
    assert viewer.told == [{"type": "ready", "mode": "view", "viewers": 2}]
    viewer.end()
    assert writer.told == [
        {"type": "ready", "mode": "write", "viewers": 1},
        {"type": "viewers", "viewers": 2},
        {"type": "viewers", "viewers": 1},
    ]


def test_who_joins_sees_the_last_of_what_was_written(consoles: Consoles, guests: Guests) -> None:
    come(consoles)
    guests.lines[0].listener.output(b"a" * REPLAY_BYTES + b"b" * REPLAY_BYTES)
    viewer = come(consoles, Mode.VIEW)
    viewer.turn()
    assert viewer.data == b"b" * REPLAY_BYTES


def test_taking_it_takes_it_from_others_too(consoles: Consoles, guests: Guests) -> None:
    come(consoles, Mode.TAKE)
    assert guests.taken == [True]


def test_the_end_of_the_guest(consoles: Consoles, guests: Guests) -> None:
    writer, viewer = come(consoles), come(consoles, Mode.VIEW)
    guests.lines[0].listener.output(b"Power down")
    guests.lines[0].listener.ended(End.STOPPED)
    for pipe in (writer, viewer):
        assert (pipe.data, pipe.code) == (b"Power down", 4411)
        pipe.end()
    assert guests.lines[0].closed == 1


@pytest.mark.parametrize(("end", "code"), [(End.LOST, 1012), (End.CUT, 4410), (End.STOPPED, 4411)])
def test_each_end_has_a_code(consoles: Consoles, guests: Guests, end: End, code: int) -> None:
    first = come(consoles)
    guests.lines[0].listener.ended(end)
    assert first.code == code
    assert come(consoles).code is None
    assert len(guests.lines) == 2


def test_it_ends_after_the_last_one(consoles: Consoles, guests: Guests) -> None:
    writer, viewer = come(consoles), come(consoles, Mode.VIEW)
    writer.end()
    viewer.end()
    eventually(lambda: guests.lines[0].closed == 1)
    come(consoles)
    assert len(guests.lines) == 2


def test_it_ends_when_nobody_comes(consoles: Consoles, guests: Guests) -> None:
    late = FakePipe(consoles.serial(UUID, Mode.ASK))
    eventually(lambda: guests.lines[0].closed == 1)
    late.open()
    assert late.code == 1012


def test_one_who_comes_back_finds_what_was_there(
    consoles: Consoles, guests: Guests, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serial, "GRACE_SECONDS", 60)
    first = come(consoles)
    guests.lines[0].listener.output(b"hello")
    first.end()
    second = come(consoles)
    second.turn()
    assert (second.data, len(guests.lines)) == (b"hello", 1)


def test_a_viewer_that_is_behind_is_closed(consoles: Consoles, guests: Guests) -> None:
    writer, viewer = come(consoles), come(consoles, Mode.VIEW)
    viewer.stuck = True
    for _ in range(4):
        guests.lines[0].listener.output(b"x" * (RING_BYTES // 2))
        writer.turn()
        viewer.turn()
    assert (writer.code, viewer.code) == (None, 1013)
    assert len(writer.data) == 2 * RING_BYTES


def test_a_writer_that_is_behind_is_told_what_it_missed(consoles: Consoles, guests: Guests) -> None:
    writer = come(consoles)
    writer.stuck = True
    guests.lines[0].listener.output(b"a" * 1000)
    writer.turn()
    for letter in (b"b", b"c", b"d"):
        guests.lines[0].listener.output(letter * RING_BYTES)
        writer.turn()
        assert writer.unsent <= RING_BYTES
    writer.stuck = False
    writer.turn()
    assert writer.code is None
    assert writer.told[-1] == {"type": "skipped", "bytes": 2 * RING_BYTES}
    assert writer.data == b"a" * 1000 + b"d" * RING_BYTES


def test_small_pieces_go_together(consoles: Consoles, guests: Guests) -> None:
    writer = come(consoles)
    writer.turn()
    for _ in range(1000):
        guests.lines[0].listener.output(b"y\n")
    writer.turn()
    assert writer.binary == [b"y\n" * 1000]


def test_a_guest_that_does_not_read_holds_the_writer_back(consoles: Consoles, guests: Guests) -> None:
    writer, line = come(consoles), guests.lines[0]
    line.reads = False
    piece = b"x" * 65536
    while not writer.paused:
        assert line.untyped <= MOST_UNTYPED
        writer.receive(piece)
    assert line.untyped <= MOST_UNTYPED + len(piece)
    line.read()
    assert not writer.paused


def test_what_one_has_typed_is_not_typed_for_the_next(consoles: Consoles, guests: Guests) -> None:
    first, line = come(consoles), guests.lines[0]
    line.reads = False
    first.receive(b"rm -rf /")
    second = come(consoles, Mode.TAKE)
    second.receive(b"ls\r")
    line.read()
    assert line.typed == b"ls\r"


def test_one_who_leaves_does_not_stop_the_others(consoles: Consoles, guests: Guests) -> None:
    """The loop is asked through one of the pipes, and what is asked of a pipe that is over is not done."""
    writer, viewer = come(consoles), come(consoles, Mode.VIEW)
    guests.lines[0].listener.output(b"one")
    writer.end()
    guests.lines[0].listener.output(b"two")
    viewer.turn()
    assert viewer.data == b"onetwo"


def test_what_is_told_is_json(consoles: Consoles) -> None:
    assert all(isinstance(json.loads(text), dict) for text in come(consoles).text)
