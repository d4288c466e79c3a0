"""Who is at a console: one who writes, and any number who look on."""

from __future__ import annotations

import enum
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from virshmanagerd.streams import Pipe


class Mode(enum.Enum):
    """How somebody comes in."""

    ASK = "ask"  # to write, if nobody else does
    VIEW = "view"  # to look on
    TAKE = "take"  # to write, and whoever did so must leave


class Close(enum.IntEnum):
    """The codes with which a console's WebSocket is closed (RFC 6455, 7.4.2, leaves 4000 and up to us)."""

    LOST = 1012
    TOO_SLOW = 1013
    BUSY = 4409
    TAKEN_OVER = 4410
    STOPPED = 4411


REASONS: Final = {
    Close.LOST: "libvirt was lost",
    Close.TOO_SLOW: "too slow",
    Close.BUSY: "busy",
    Close.TAKEN_OVER: "taken over",
    Close.STOPPED: "domain stopped",
}


@dataclass(eq=False)
class Seat:
    """Somebody's place at a console."""

    pipe: Pipe
    writes: bool
    sent_away: bool = False

    def leave(self, close: Close, *, discard: bool = False) -> None:
        """End the WebSocket, for a reason that is told."""
        self.pipe.close(close, REASONS[close], discard=discard)

    def tell(self, **message: object) -> None:
        """Send a text frame."""
        self.pipe.send(json.dumps(message))


class Room:
    """The people at one console. Not for several threads at once."""

    def __init__(self) -> None:
        self.writer: Seat | None = None
        self.seats: list[Seat] = []

    def join(self, pipe: Pipe, mode: Mode) -> Seat | None:
        """Give a seat and say ``ready``; None when somebody else writes already, which is told too."""
        seat = Seat(pipe, writes=mode is not Mode.VIEW)
        if seat.writes and self.writer:
            if mode is not Mode.TAKE:
                seat.leave(Close.BUSY)
                return None
            self._send_away(self.writer)
        self.seats.append(seat)
        self.writer = seat if seat.writes else self.writer
        seat.tell(type="ready", mode="write" if seat.writes else "view", viewers=len(self.seats))
        self._tell_viewers(but=seat)
        return seat

    def leave(self, seat: Seat) -> None:
        """Forget a seat. Who has left already may do it again."""
        if seat in self.seats:
            self._forget(seat)
            self._tell_viewers()

    def close(self, close: Close) -> None:
        """Send everybody away."""
        for seat in self.seats:
            seat.leave(close)
        self.seats.clear()
        self.writer = None

    def _send_away(self, seat: Seat) -> None:
        self._forget(seat)
        seat.sent_away = True
        seat.leave(Close.TAKEN_OVER)

    def _forget(self, seat: Seat) -> None:
        self.seats.remove(seat)
        if seat is self.writer:
            self.writer = None

    def _tell_viewers(self, but: Seat | None = None) -> None:
        for seat in self.seats:
            if seat is not but:
                seat.tell(type="viewers", viewers=len(self.seats))
