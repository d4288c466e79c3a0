"""One domain's serial console, shared by all who look at it: libvirt lends it once.

What the guest writes is kept in a ring, and everybody at the console has a position in it. More than the
ring nobody can be behind: who looks on is closed then, and who writes misses the bytes between, which he
is told. The guest is not held back. Its kernel would stand still at its console as long as a browser does,
and libvirt's client would keep what is not read in our memory.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final, Protocol

from virshmanagerd.consoles.room import Close, Mode, Room, Seat
from virshmanagerd.driver import End
from virshmanagerd.driver.eventloop import LOOP
from virshmanagerd.errors import HypervisorBusy

if TYPE_CHECKING:
    from collections.abc import Callable

    from virshmanagerd.driver import Listener
    from virshmanagerd.streams import Pipe

RING_BYTES: Final = 256 * 1024
REPLAY_BYTES: Final = 64 * 1024
MESSAGE_BYTES: Final = 32 * 1024
MOST_UNTYPED: Final = 256 * 1024
RELEASE_SECONDS: Final = 5.0
GRACE_SECONDS: Final = 3.0  # from the opening to the first who comes, and from the last who leaves to the end

CLOSES: Final = {End.STOPPED: Close.STOPPED, End.LOST: Close.LOST, End.CUT: Close.TAKEN_OVER}


class Line(Protocol):
    """An open serial console (``driver.SerialConsole``). Nothing here waits."""

    @property
    def untyped(self) -> int:
        """Bytes that ``type`` has taken and libvirt has not."""

    def type(self, data: bytes) -> None:
        """Send something to the guest."""

    def forget_untyped(self) -> None:
        """Send nothing more of what was to be typed."""

    def close(self, then: Callable[[], None]) -> None:
        """Let go of it; ``then`` is called when it can be opened again."""


class SerialSource(Protocol):
    """What opens serial consoles (``driver.Driver``)."""

    def open_serial(self, uuid: str, listener: Listener, *, take: bool) -> Line:
        """Open one, or raise DriverError. It may wait, up to a deadline."""


class Hub:
    """A serial console from its opening to its end; after that there is another one. Safe for threads."""

    def __init__(self, uuid: str, source: SerialSource, forget: Callable[[Hub], None]) -> None:
        """``forget`` is called when nobody can join any more."""
        self.uuid = uuid
        self._source = source
        self._forget = forget
        self._opening = threading.Lock()
        self._lock = threading.RLock()
        self._line: Line | None = None
        self._close: Close | None = None
        self._released = threading.Event()
        self._keep_until = 0.0
        self._room = Room()
        self._ring = bytearray()
        self._written = 0  # bytes by the guest since the opening
        self._positions: dict[Seat, int] = {}
        self._serving = False
        self._held: Seat | None = None

    def open(self, *, take: bool) -> bool:
        """Open the console, if it is not open yet; False when it has ended.

        It may wait, up to the deadlines of the driver.

        Raises:
            DriverError: when it cannot be opened; then it has ended.
        """
        with self._opening:
            with self._lock:
                if not self._close:
                    self._keep()
                    if self._line:
                        return True
            if self._close:
                if not self._released.wait(RELEASE_SECONDS):
                    raise HypervisorBusy("libvirt does not let go of the console")
                return False
            self._open(take=take)
            return True

    def _open(self, *, take: bool) -> None:
        try:
            line = self._source.open_serial(self.uuid, self, take=take)
        except BaseException:  # whoever waits to join must not find it half open
            self._end(Close.LOST)
            self._over()
            raise
        with self._lock:
            if not self._close:
                self._line = line
                self._keep()
                return
        line.close(self._over)

    def join(self, pipe: Pipe, mode: Mode) -> Seat | None:
        """Let somebody in, and show him what was written last; None when his stream was closed instead."""
        with self._lock:
            if self._close:
                Seat(pipe, writes=False).leave(self._close)
                return None
            before = self._room.writer
            seat = self._room.join(pipe, mode)
            if seat:
                self._positions[seat] = max(self._written - REPLAY_BYTES, self._begin)
            if before and before is not self._room.writer:
                self._replaced(before)
            return seat

    def leave(self, seat: Seat | None) -> None:
        """Forget somebody; after the last one the console ends soon."""
        with self._lock:
            if seat:
                self._room.leave(seat)
                self._positions.pop(seat, None)
            self._serving = False  # he may have been asked to call back
            self._ask_to_serve()
            self._keep()

    def serve(self, seat: Seat) -> None:
        """Send what there is for somebody who has taken all that was sent before."""
        with self._lock:
            position = self._positions.get(seat, self._written)
            if position < self._begin and not seat.writes:
                self._positions.pop(seat)
                seat.leave(Close.TOO_SLOW, discard=True)
            elif position < self._written and not seat.pipe.unsent:
                self._send(seat, position)

    def type(self, seat: Seat, data: bytes) -> None:
        """Type something, if it comes from who writes."""
        with self._lock:
            if seat is self._room.writer and self._line:
                self._line.type(data)
                if self._line.untyped > MOST_UNTYPED:
                    self._held = seat
                    seat.pipe.pause()

    def output(self, data: bytes) -> None:
        """See ``driver.Listener``."""
        with self._lock:
            self._ring += data
            self._written += len(data)
            if len(self._ring) > RING_BYTES:
                del self._ring[:-RING_BYTES]
            self._ask_to_serve()

    def written(self) -> None:
        """See ``driver.Listener``."""
        with self._lock:
            held, self._held = self._held, None
            if held:
                held.pipe.resume()

    def ended(self, end: End) -> None:
        """See ``driver.Listener``."""
        self._end(CLOSES[end])

    @property
    def _begin(self) -> int:
        return self._written - len(self._ring)

    def _send(self, seat: Seat, position: int) -> None:
        if position < self._begin:
            seat.tell(type="skipped", bytes=self._begin - position)
        for at in range(max(0, position - self._begin), len(self._ring), MESSAGE_BYTES):
            seat.pipe.send(bytes(self._ring[at : at + MESSAGE_BYTES]))
        self._positions[seat] = self._written

    def _ask_to_serve(self) -> None:
        """Have the loop serve all: what comes until then goes out with it, in one message."""
        if self._positions and not self._serving:
            self._serving = True
            next(iter(self._positions)).pipe.call(self._serve_all)

    def _serve_all(self) -> None:
        with self._lock:
            self._serving = False
            for seat in list(self._positions):
                self.serve(seat)

    def _replaced(self, writer: Seat) -> None:
        self._positions.pop(writer, None)
        self._held = None
        if self._line:
            self._line.forget_untyped()

    def _keep(self) -> None:
        self._keep_until = time.monotonic() + GRACE_SECONDS
        if not self._room.seats:
            LOOP.call_later(GRACE_SECONDS, self._expire)

    def _expire(self) -> None:
        with self._lock:
            idle = self._line and not self._room.seats and time.monotonic() >= self._keep_until
        if idle:
            self._end(Close.LOST)

    def _end(self, close: Close) -> None:
        with self._lock:
            if self._close:
                return
            self._close = close
            for seat, position in self._positions.items():
                self._send(seat, position)
            self._positions.clear()
            self._room.close(close)
            line, self._line = self._line, None
        if line:
            line.close(self._over)

    def _over(self) -> None:
        self._forget(self)
        self._released.set()


class SerialViewer:
    """The ``Stream`` of one who comes to a serial console."""

    def __init__(self, hub: Hub, mode: Mode) -> None:
        self._hub = hub
        self._mode = mode
        self._seat: Seat | None = None

    def opened(self, pipe: Pipe) -> None:
        """See ``streams.Stream``."""
        self._seat = self._hub.join(pipe, self._mode)

    def received(self, data: bytes | str) -> None:
        """See ``streams.Stream``. Text tells the size of the terminal, which a serial line cannot carry."""
        if self._seat and isinstance(data, bytes):
            self._hub.type(self._seat, data)

    def drained(self) -> None:
        """See ``streams.Stream``."""
        if self._seat:
            self._hub.serve(self._seat)

    def closed(self) -> None:
        """See ``streams.Stream``."""
        self._hub.leave(self._seat)
