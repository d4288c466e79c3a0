"""`GET /v1/events`: what happens here, as it happens."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from virshmanagerd import outbox
from virshmanagerd.sampler import LONGEST_PERIOD

if TYPE_CHECKING:
    from virshmanagerd.daemon import Daemon
    from virshmanagerd.streams import Pipe
    from virshmanagerd.web import Request

SHORTEST_PERIOD: Final = 2
NOT_UNDERSTOOD: Final = 1008


def open_events(daemon: Daemon, request: Request) -> EventStream:
    """Events from now on, or from `?after=EPOCH:SEQ` if they are still known."""
    return EventStream(daemon, request.query.get("after", ""), daemon.journal_id)


class EventStream:
    """One client's events. It may ask for statistics too, with a text frame."""

    def __init__(self, daemon: Daemon, after: str, journal_id: str | None) -> None:
        self._daemon = daemon
        self._after = after
        self._journal_id = journal_id
        self._period = 0
        self._timer = object()
        self._pipe: Pipe | None = None

    def opened(self, pipe: Pipe) -> None:
        """Say hello, repeat what was missed, and listen."""
        self._pipe = pipe
        self._daemon.outbox.subscribe(pipe, self._after, self._journal_id)

    def received(self, data: bytes | str) -> None:
        """`{"type": "stats", "seconds": 0 | 2..300}`; other types are for other versions of the daemon."""
        try:
            frame = _read(data)
            if frame.get("type") == "stats":
                self._set_period(_period(frame))
        except ValueError as error:
            if self._pipe:
                self._pipe.close(NOT_UNDERSTOOD, str(error))

    def drained(self) -> None:
        """Nothing waits for that."""

    def closed(self) -> None:
        """Listen no more."""
        self._period = 0
        if self._pipe:
            self._daemon.outbox.unsubscribe(self._pipe)

    def _set_period(self, period: int) -> None:
        self._period = period
        self._timer = object()  # the timer of an earlier period is nobody's
        if period:
            self._sample(self._timer)

    def _sample(self, timer: object) -> None:
        if self._pipe and timer is self._timer:
            self._daemon.sampler.request(self._tell)
            self._pipe.call_later(self._daemon.sampler.delay(self._period), lambda: self._sample(timer))

    def _tell(self, sample: str) -> None:
        if self._pipe and self._period:
            outbox.give(self._pipe, sample)


def _read(data: bytes | str) -> dict[str, Any]:
    try:
        frame = json.loads(data)
    except (ValueError, RecursionError):
        raise ValueError("the frame is not JSON") from None
    if not isinstance(frame, dict):
        raise ValueError("the frame is not a JSON object")
    return frame


def _period(frame: dict[str, Any]) -> int:
    seconds = frame.get("seconds")
    if type(seconds) is not int or not (seconds == 0 or SHORTEST_PERIOD <= seconds <= LONGEST_PERIOD):
        raise ValueError(f"seconds is not 0, nor a whole number from {SHORTEST_PERIOD} to {LONGEST_PERIOD}")
    return seconds
