"""A screen that several look at, with a QEMU and clients that do what a test wants."""

from __future__ import annotations

import contextlib
import gc
import socket
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fakepipe import FakePipe

from virshmanagerd.consoles import Consoles, Mode
from virshmanagerd.consoles.vnc import MOST_UNSENT, MOST_UNTAKEN, PIECE
from virshmanagerd.driver import End, Listener
from virshmanagerd.errors import NoVncDevice

UUID = str(uuid.uuid4())
HELLO = b"RFB 003.008\n\x01\x01"
KEY = b"\x04\x01\x00\x00\x00\x00\x00\x61"
UPDATE = b"\x03\x01" + bytes(8)


class Screens:
    """Opens screens, as the driver does. ``qemu`` are the other ends."""

    def __init__(self) -> None:
        self.qemu: list[socket.socket] = []
        self.error: Exception | None = None
        self.end = End.STOPPED

    def open_vnc(self, _uuid: str) -> socket.socket:
        if self.error:
            raise self.error
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        self.qemu.append(theirs)
        return ours

    def find_end(self, _uuid: str, tell: Callable[[End], None]) -> None:
        tell(self.end)

    def open_serial(self, _uuid: str, _listener: Listener, *, take: bool) -> Any:
        raise NotImplementedError


@pytest.fixture
def screens() -> Iterator[Screens]:
    screens = Screens()
    yield screens
    for qemu in screens.qemu:
        qemu.close()


@pytest.fixture
def come(screens: Screens) -> Iterator[Callable[[Mode], FakePipe]]:
    consoles, pipes = Consoles(screens), list[FakePipe]()

    def come(mode: Mode = Mode.ASK) -> FakePipe:
        pipes.append(FakePipe(consoles.vnc(UUID, mode)))
        pipes[-1].open()
        return pipes[-1]

    yield come
    for pipe in pipes:
        pipe.end()
    gc.collect()  # a socket that was not closed is a warning, and warnings are errors


def ready(pipe: FakePipe) -> None:
    """The loop finds the socket ready, as long as it is."""
    for sock, (_, function) in list(pipe.watched.items()):
        assert sock.fileno() >= 0
        function()
    pipe.turn()


def read(qemu: socket.socket) -> bytes:
    data = bytearray()
    with contextlib.suppress(BlockingIOError):
        while piece := qemu.recv(PIECE):
            data += piece
    return bytes(data)


def test_what_has_no_screen(screens: Screens) -> None:
    screens.error = NoVncDevice("SPICE only")
    with pytest.raises(NoVncDevice):
        Consoles(screens).vnc(UUID, Mode.VIEW)


def test_one_that_was_never_opened_is_closed(screens: Screens) -> None:
    Consoles(screens).vnc(UUID, Mode.ASK).closed()
    assert screens.qemu[0].recv(1) == b""


def test_a_second_who_wants_to_write_is_refused(come: Callable[..., FakePipe]) -> None:
    first, second = come(), come()
    assert (first.code, second.code) == (None, 4409)
    assert not second.watched


def test_who_looks_on_cannot_type(come: Callable[..., FakePipe], screens: Screens) -> None:
    come(Mode.VIEW).receive(HELLO + KEY + UPDATE)
    assert read(screens.qemu[0]) == HELLO + UPDATE


def test_what_is_not_known_ends_it_and_goes_no_further(
    come: Callable[..., FakePipe], screens: Screens
) -> None:
    viewer = come(Mode.VIEW)
    viewer.receive(HELLO)
    viewer.receive(UPDATE + b"\x63" + KEY)
    viewer.receive(KEY)
    assert viewer.code == 1002
    assert read(screens.qemu[0]) == HELLO


def test_bytes_go_both_ways(come: Callable[..., FakePipe], screens: Screens) -> None:
    pipe = come()
    screens.qemu[0].send(b"RFB 003.008\n")
    ready(pipe)
    pipe.receive(b"\xffanything\x00")
    assert (pipe.data, read(screens.qemu[0])) == (b"RFB 003.008\n", b"\xffanything\x00")
    assert pipe.told == [{"type": "ready", "mode": "write", "viewers": 1}]


def test_it_is_taken_over(come: Callable[..., FakePipe], screens: Screens) -> None:
    first, second = come(), come(Mode.TAKE)
    first.receive(KEY)
    second.receive(KEY)
    assert (first.code, second.code) == (4410, None)
    assert (read(screens.qemu[0]), read(screens.qemu[1])) == (b"", KEY)


def test_what_one_has_typed_is_not_typed_after_he_was_sent_away(
    come: Callable[..., FakePipe], screens: Screens
) -> None:
    first = come()
    while not first.paused:
        first.receive(KEY * 1000)
    in_the_socket = len(read(screens.qemu[0]))
    assert come(Mode.TAKE).code is None
    ready(first)
    assert (read(screens.qemu[0]), in_the_socket > 0) == (b"", True)


@pytest.mark.parametrize(("end", "code"), [(End.STOPPED, 4411), (End.LOST, 1012), (End.CUT, 1012)])
def test_the_screen_ends(come: Callable[..., FakePipe], screens: Screens, end: End, code: int) -> None:
    screens.end = end
    pipe = come()
    screens.qemu[0].close()
    ready(pipe)
    assert pipe.code == code
    assert not pipe.watched


def test_a_client_that_does_not_read_holds_qemu_back(come: Callable[..., FakePipe], screens: Screens) -> None:
    pipe = come()
    pipe.stuck = True
    sent = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            sent += screens.qemu[0].send(b"x" * PIECE)
            ready(pipe)
    assert pipe.unsent <= MOST_UNSENT + PIECE
    pipe.stuck = False
    while len(pipe.data) < sent:
        pipe.turn()
        ready(pipe)
    assert len(pipe.data) == sent


def test_a_qemu_that_does_not_read_holds_the_client_back(
    come: Callable[..., FakePipe], screens: Screens
) -> None:
    pipe, sent, received = come(), 0, 0
    piece = b"x" * 65536
    while not pipe.paused:
        pipe.receive(piece)
        sent += len(piece)
        assert sent < 10 * MOST_UNTAKEN
    while received < sent:
        received += len(read(screens.qemu[0]))
        ready(pipe)
    assert not pipe.paused
