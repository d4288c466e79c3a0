"""What libvirt tells of its domains, as events with the domain's row of the moment.

libvirt's callbacks only note which domain it was. One thread of the pool then reads rows, one domain after
the other; what happens to a domain meanwhile waits for its next turn. A row that cannot be read in time
must not hold up the rest: it goes out without, and all is read anew over another connection.

What a change of ours causes waits a moment: then one read tells it all, and neither that read nor what the
server does with it delays the verdict, which tells the same and which somebody waits for.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Final, Protocol

import libvirt

from virshmanagerd.driver import single
from virshmanagerd.driver.answers import Domain
from virshmanagerd.driver.calls import Calls
from virshmanagerd.driver.eventloop import LOOP
from virshmanagerd.driver.session import Session
from virshmanagerd.lifecycle import words

# A change causes most of its events just before it returns, and its verdict is known to the server by then.
HELD_SECONDS: Final = 0.05
# A guest that gives and takes memory tells of each step.
BALLOON_SECONDS: Final = 5.0

Lifecycle = tuple[str, str]


class Publisher(Protocol):
    """Where events go."""

    def begin(self, epoch: str) -> None:
        """libvirt is there, and what was known of it before may be wrong."""

    def publish(self, kind: str, /, *, only_in: str | None = None, **fields: object) -> None:
        """Something happened."""


class _Turn:
    """A thread's work through what has happened, up to the end of it."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.future: Future[None]
        self.uuid = ""
        self.lifecycle: list[Lifecycle] = []
        self.since: float | None = None  # when the reading of this domain began


class Events:
    """The events of one driver. `lost` is told of a session in which a call does not return."""

    def __init__(self, calls: Calls, seconds: float, lost: Callable[[Session], None]) -> None:
        self._calls = calls
        self._seconds = seconds
        self._lost = lost
        self._lock = threading.Lock()
        self._session: Session | None = None
        self._pending: dict[str, list[Lifecycle]] = {}
        self._ballooned: set[str] = set()
        self._held: dict[str, list[Lifecycle] | None] = {}  # what has happened since; None: nothing
        self._turn: _Turn | None = None
        self._checking = False
        self._down = False
        self.publisher: Publisher | None = None
        self.on_lifecycle: Callable[[str], None] = lambda _uuid: None

    def up(self, session: Session) -> None:
        """Listen to a session from now on, and to no other."""
        with self._lock:
            self._session, self._down = session, False
        if self.publisher:
            self.publisher.begin(session.epoch)

    def left(self) -> None:
        """Forget the session, and what happened in it: the next one begins with everything."""
        with self._lock:
            self._leave()

    def _leave(self) -> None:
        self._session = self._turn = None
        self._pending.clear()
        self._held.clear()

    def down(self, reason: str) -> None:
        """There is no session. Said once, however many attempts fail."""
        said, self._down = self._down, True
        if not said:
            self._publish("libvirt.down", None, detail=reason)

    def lifecycle(self, session: Session, uuid: str, event: int, detail: int) -> None:
        """A domain was started, stopped, defined ..."""
        self.on_lifecycle(uuid)
        known = words(event, detail)
        self._happened(session, uuid, [known] if known else [])

    def changed(self, session: Session, uuid: str) -> None:
        """Something else about a domain changed."""
        self._happened(session, uuid, [])

    def ballooned(self, session: Session, uuid: str) -> None:
        """A domain has another size of memory; more of them in the next seconds are one."""
        with self._lock:
            if session is not self._session or uuid in self._ballooned:
                return
            self._ballooned.add(uuid)
        LOOP.call_later(BALLOON_SECONDS, partial(self._settled, session, uuid))

    def _settled(self, session: Session, uuid: str) -> None:
        with self._lock:
            self._ballooned.discard(uuid)
        self._happened(session, uuid, [])

    def hold(self, uuid: str) -> None:
        """A change of a domain begins: let what happens to it wait for HELD_SECONDS."""
        with self._lock:
            self._held.setdefault(uuid, None)

    def let_go(self, uuid: str) -> None:
        """The change is over: what has not happened by now does not wait."""
        with self._lock:
            if self._held.get(uuid) is not None:
                return
            self._held.pop(uuid, None)
            if self._turn and self._turn.uuid == uuid:  # it may have been read before it was changed
                self._note(self._turn.session, uuid, [])

    def _release(self, uuid: str) -> None:
        with self._lock:
            lifecycle = self._held.pop(uuid, None)
            if lifecycle is not None and self._session is not None:
                self._note(self._session, uuid, lifecycle)

    def _happened(self, session: Session, uuid: str, lifecycle: list[Lifecycle]) -> None:
        with self._lock:
            if session is not self._session:
                return  # all is listed when a session begins
            if uuid not in self._held:
                self._note(session, uuid, lifecycle)
                return
            held = self._held[uuid]
            if held is None:
                LOOP.call_later(HELD_SECONDS, partial(self._release, uuid))
            self._held[uuid] = [*(held or ()), *lifecycle]

    def _note(self, session: Session, uuid: str, lifecycle: list[Lifecycle]) -> None:
        self._pending.setdefault(uuid, []).extend(lifecycle)
        if self._turn is None:
            self._turn = _Turn(session)
            self._turn.future = self._calls.start(partial(self._work, self._turn))
            self._check_later(self._seconds)

    def _work(self, turn: _Turn) -> None:
        while self._next(turn):
            row, readable = _read(turn.session, turn.uuid)
            uuid, lifecycle = turn.uuid, turn.lifecycle
            if self._done(turn):
                self._tell(turn.session, uuid, lifecycle, row, gone=readable and row is None)

    def _next(self, turn: _Turn) -> bool:
        with self._lock:
            if self._turn is not turn:
                return False
            if not self._pending:
                self._turn = None
                return False
            turn.uuid = next(iter(self._pending))
            turn.lifecycle = self._pending.pop(turn.uuid)
            turn.since = time.monotonic()
            return True

    def _done(self, turn: _Turn) -> bool:
        with self._lock:
            turn.since = None
            return self._turn is turn

    def _check_later(self, seconds: float) -> None:
        if not self._checking:
            self._checking = True
            LOOP.call_later(seconds, self._check)

    def _check(self) -> None:
        with self._lock:
            self._checking = False
            turn = self._turn
            if turn is None:
                return
            left = self._seconds if turn.since is None else turn.since + self._seconds - time.monotonic()
            if left > 0:
                self._check_later(left)
                return
            self._leave()
        self._calls.lose(turn.future)
        self._tell(turn.session, turn.uuid, turn.lifecycle, None, gone=False)
        self._lost(turn.session)

    def _tell(
        self, session: Session, uuid: str, lifecycle: list[Lifecycle], row: Domain | None, *, gone: bool
    ) -> None:
        for event, detail in lifecycle:
            self._publish(
                "domain.lifecycle", session.epoch, uuid=uuid, event=event, detail=detail, domain=row
            )
        if gone:
            self._publish("domain.removed", session.epoch, uuid=uuid)
        elif not lifecycle:
            self._publish("domain.changed", session.epoch, uuid=uuid, domain=row)

    def _publish(self, kind: str, epoch: str | None, **fields: object) -> None:
        if self.publisher:
            self.publisher.publish(kind, only_in=epoch, **fields)


def _read(session: Session, uuid: str) -> tuple[Domain | None, bool]:
    """The row, and whether it could be read at all."""
    try:
        return single.row(session, uuid), True
    except libvirt.libvirtError:
        return None, False
