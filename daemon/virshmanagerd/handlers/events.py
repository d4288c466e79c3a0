"""`GET /v1/events`: what happens here, as it happens."""

from __future__ import annotations

import json
import logging
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from virshmanagerd import outbox
from virshmanagerd.errors import DriverError
from virshmanagerd.handlers.driven import problem_of
from virshmanagerd.handlers.host import describe
from virshmanagerd.lane import Lane
from virshmanagerd.sampler import LONGEST_PERIOD
from virshmanagerd.text import to_json

if TYPE_CHECKING:
    from virshmanagerd.daemon import Daemon
    from virshmanagerd.streams import Pipe
    from virshmanagerd.web import Request

logger = logging.getLogger(__name__)

SHORTEST_PERIOD: Final = 2
MOST_ID: Final = 2**31
NOT_UNDERSTOOD, TRY_LATER, FAILED = 1008, 1013, 1011
# Of the process, as the lane of samples is. The driver gives libvirt ten seconds for a listing.
LISTING: Final = Lane("listing", threads=4, backlog=1024)


def open_events(daemon: Daemon, request: Request) -> EventStream:
    """Events from now on, or from `?after=EPOCH:SEQ` if they are still known."""
    return EventStream(daemon, request.query.get("after", ""), daemon.journal_id)


class EventStream:
    """One client's events. It may ask for a listing and for statistics, too, with text frames."""

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
        """`{"type": "list", "id": n}`, `{"type": "stats", "seconds": 0 | 2..300}`.

        Other types are for other versions of the daemon.
        """
        try:
            frame = _read(data)
            if frame.get("type") == "stats":
                self._set_period(_period(frame))
            elif frame.get("type") == "list":
                self._list(_id(frame))
        except ValueError as error:
            self._close(NOT_UNDERSTOOD, str(error))

    def drained(self) -> None:
        """Nothing waits for that."""

    def closed(self) -> None:
        """Listen no more."""
        self._period = 0
        if self._pipe:
            self._daemon.outbox.unsubscribe(self._pipe)

    def _close(self, code: int, reason: str) -> None:
        if self._pipe:
            self._pipe.close(code, reason)

    def _list(self, number: int) -> None:
        if not LISTING.submit(partial(self._tell_listing, number)):
            self._close(TRY_LATER, "too many listings are wanted")

    def _tell_listing(self, number: int) -> None:
        try:
            text = to_json({"type": "listing", "id": number, **listing(self._daemon)})
        except Exception:
            logger.exception("a listing failed")  # a defect must not end the thread
            self._close(FAILED, "the listing failed")
            return
        if self._pipe:
            outbox.give(self._pipe, text)

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


def listing(daemon: Daemon) -> dict[str, object]:
    """The answers of `GET /v1/host` and `GET /v1/domains`; in place of the domains, the problem with them."""
    host = describe(daemon)
    try:
        return {"host": host, **daemon.driver.domains()}
    except DriverError as error:
        return {"host": host, "problem": problem_of(error).document()}


def _read(data: bytes | str) -> dict[str, Any]:
    try:
        frame = json.loads(data)
    except (ValueError, RecursionError):
        raise ValueError("the frame is not JSON") from None
    if not isinstance(frame, dict):
        raise ValueError("the frame is not a JSON object")
    return frame


def _id(frame: dict[str, Any]) -> int:
    number = frame.get("id")
    if type(number) is not int or not 0 <= number <= MOST_ID:
        raise ValueError(f"id is not a whole number from 0 to {MOST_ID}")
    return number


def _period(frame: dict[str, Any]) -> int:
    seconds = frame.get("seconds")
    if type(seconds) is not int or not (seconds == 0 or SHORTEST_PERIOD <= seconds <= LONGEST_PERIOD):
        raise ValueError(f"seconds is not 0, nor a whole number from {SHORTEST_PERIOD} to {LONGEST_PERIOD}")
    return seconds
