"""A domain's screen for one who looks at it, over a connection of his own to QEMU.

Bytes go both ways as they come, through the filter of `rfb` for who only looks. Each side is read as fast
as the other takes it: QEMU leaves out frames for who is slow.
"""

from __future__ import annotations

import selectors
from typing import TYPE_CHECKING, Final, Protocol

from virshmanagerd.consoles.rfb import RfbError, ViewFilter
from virshmanagerd.consoles.room import Close, Mode, Room, Seat
from virshmanagerd.driver import End

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from virshmanagerd.streams import Pipe

PIECE: Final = 32 * 1024
MOST_UNSENT: Final = 224 * 1024  # and one piece more
MOST_UNTAKEN: Final = 256 * 1024
PROTOCOL_ERROR: Final = 1002

CLOSES: Final = {End.STOPPED: Close.STOPPED, End.LOST: Close.LOST, End.CUT: Close.LOST}


class ScreenSource(Protocol):
    """What opens screens (``driver.Driver``)."""

    def open_vnc(self, uuid: str) -> socket.socket:
        """Open one, or raise DriverError. It may wait, up to a deadline."""

    def find_end(self, uuid: str, tell: Callable[[End], None]) -> None:
        """Find out why it ended, and tell it on another thread."""


class Rooms:
    """Who looks at which screen. For the loop alone."""

    def __init__(self) -> None:
        self._rooms: dict[str, Room] = {}

    def join(self, uuid: str, pipe: Pipe, mode: Mode) -> Seat | None:
        """See ``Room.join``."""
        return self._rooms.setdefault(uuid, Room()).join(pipe, mode)

    def leave(self, uuid: str, seat: Seat) -> None:
        """See ``Room.leave``."""
        room = self._rooms.get(uuid)
        if room:
            room.leave(seat)
            if not room.seats:
                del self._rooms[uuid]


class VncViewer:
    """The ``Stream`` of one who comes to a screen."""

    def __init__(self, uuid: str, source: ScreenSource, rooms: Rooms, mode: Mode) -> None:
        """Connect to the screen.

        Raises:
            DriverError: when that is not possible.
        """
        self._uuid = uuid
        self._source = source
        self._rooms = rooms
        self._mode = mode
        self._socket = source.open_vnc(uuid)
        self._ended = False
        self._untaken = bytearray()
        self._paused = False
        self._filter = ViewFilter() if mode is Mode.VIEW else None
        self._seat: Seat | None = None

    def opened(self, pipe: Pipe) -> None:
        """See ``streams.Stream``."""
        self._seat = self._rooms.join(self._uuid, pipe, self._mode)
        if self._seat:
            self._watch(self._seat)

    def received(self, data: bytes | str) -> None:
        """See ``streams.Stream``."""
        if not self._seat or self._ended or isinstance(data, str):
            return
        try:
            self._untaken += self._filter.feed(data) if self._filter else data
        except RfbError as error:
            self._ended = True
            self._seat.pipe.close(PROTOCOL_ERROR, str(error))
        self._go_on()

    def drained(self) -> None:
        """See ``streams.Stream``."""
        self._go_on()

    def closed(self) -> None:
        """See ``streams.Stream``."""
        self._ended = True
        self._socket.close()
        if self._seat:
            self._rooms.leave(self._uuid, self._seat)

    def _go_on(self) -> None:
        if self._seat:
            self._ended = self._ended or self._seat.sent_away
            if not self._ended:
                self._exchange(self._seat.pipe)
            self._watch(self._seat)

    def _exchange(self, pipe: Pipe) -> None:
        """Move what can be moved without waiting, one piece each way."""
        try:
            self._write()
            if pipe.unsent <= MOST_UNSENT:
                pipe.send(self._read())
        except BlockingIOError:
            pass
        except OSError:
            self._ended = True
            self._source.find_end(self._uuid, self._leave)

    def _write(self) -> None:
        try:
            while self._untaken:
                del self._untaken[: self._socket.send(self._untaken[:PIECE])]
        except BlockingIOError:
            pass  # reading goes on meanwhile

    def _read(self) -> bytes:
        data = self._socket.recv(PIECE)
        if not data:
            raise ConnectionAbortedError("QEMU has closed the screen")
        return data

    def _leave(self, end: End) -> None:
        if self._seat:
            self._seat.leave(CLOSES[end])

    def _watch(self, seat: Seat) -> None:
        events = 0
        if not self._ended:
            events |= selectors.EVENT_READ * (seat.pipe.unsent <= MOST_UNSENT)
            events |= selectors.EVENT_WRITE * bool(self._untaken)
            self._hold_back(seat.pipe)
        seat.pipe.watch(self._socket, events, self._go_on)

    def _hold_back(self, pipe: Pipe) -> None:
        paused = len(self._untaken) > MOST_UNTAKEN
        if paused != self._paused:
            self._paused = paused
            pipe.pause() if paused else pipe.resume()
