"""Keeps a session to libvirt: opens it, notices its end, opens the next.

Opening can block for ever, so it runs on a pool thread and nobody waits for it.
"""

from __future__ import annotations

import functools
import logging
import random
import threading
import uuid
from concurrent.futures import Future

import libvirt

from virshmanagerd.driver.calls import Calls, Limits
from virshmanagerd.driver.eventloop import LOOP, Timer
from virshmanagerd.driver.session import Constants, Hearer, Session
from virshmanagerd.errors import LibvirtDown

ENDED = "libvirt closed the connection"

log = logging.getLogger(__name__)


class Link:
    """The way to one libvirt, which may be absent, come, go and come again."""

    def __init__(self, uri: str, calls: Calls, limits: Limits, hearer: Hearer | None = None) -> None:
        self._uri = uri
        self._hearer = hearer
        self._calls = calls
        self._limits = limits
        self._lock = threading.Condition(threading.RLock())  # a future that is done calls back at once
        self._session: Session | None = None
        self._constants = Constants()
        self._opening: Future[Session] | None = None
        self._timer: Timer | None = None
        self._failures = 0
        self._running = False
        self.error = "not connected yet"
        self.epoch = str(uuid.uuid4())

    def start(self) -> None:
        """Begin to connect, and to reconnect from then on. Once begun, it does nothing."""
        with self._lock:
            if not self._running:
                self._running = True
                self._open()

    def stop(self) -> None:
        """Let go of the session and of all attempts."""
        with self._lock:
            self._running = False
            self._opening = None
            self._set_timer(None)
            self._release()

    def session(self) -> Session:
        """The session of this moment; an attempt under way is given a moment. Raises LibvirtDown."""
        with self._lock:
            self._lock.wait_for(lambda: self._session or not self._opening, self._limits.patience)
            if self._session is None:
                raise LibvirtDown(self.error)
            return self._session

    def renew(self, session: Session) -> None:
        """Open another session at once: a call on this one does not return.

        libvirtd serves few calls of a connection at a time, and libvirt before
        10.1 may leave others unsent while one waits (see KEEPALIVE).
        """
        with self._lock:
            if self._session is session and self._running:
                self.error = "libvirt does not answer"
                self._release()
                self._open()

    def drop(self, session: Session, reason: str) -> None:
        """Replace a session that is of no use any more."""
        with self._lock:
            if self._session is session and self._running:
                log.warning("the connection to %s ended: %s", self._uri, reason)
                self.error = reason
                self._constants = Constants()  # it may come back as another version
                self._release()
                self._say_down()
                self._retry()

    def _release(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            if self._hearer:
                self._hearer.left()
            self._calls.start(session.retire)

    def _open(self) -> None:
        opening = functools.partial(Session.open, self._uri, self._constants, self._closed, self._hearer)
        self._opening = self._calls.start(opening)
        self._set_timer(LOOP.call_later(self._limits.open, functools.partial(self._overdue, self._opening)))
        self._opening.add_done_callback(self._opened)

    def _opened(self, opening: Future[Session]) -> None:
        if opening.cancelled():
            return
        error = opening.exception()
        with self._lock:
            if self._opening is not opening:  # stopped, or given up for a later attempt
                if error is None:
                    self._calls.start(opening.result().retire)
                return
            self._opening = None
            self._lock.notify_all()
            if error is not None:
                self._failed(_reason(error))
            elif opening.result().ended:
                self._failed(ENDED)
            else:
                self._connected(opening.result())

    def _connected(self, session: Session) -> None:
        self._set_timer(None)
        self._failures = 0
        self._session, self.epoch, self.error = session, session.epoch, ""
        if self._hearer:
            self._hearer.up(session)
        log.info("connected to %s", self._uri)

    def _failed(self, reason: str) -> None:
        if reason != self.error:  # said once, not at each attempt
            log.warning("no connection to %s: %s", self._uri, reason)
        self.error = reason
        self._say_down()
        self._retry()

    def _say_down(self) -> None:
        if self._hearer:
            self._hearer.down(self.error)

    def _overdue(self, opening: Future[Session]) -> None:
        with self._lock:
            if self._opening is not opening:
                return
            self._opening = None
            self._failed("libvirt accepts the connection and does not answer")
        if not opening.cancel():
            self._calls.lose(opening)

    def _retry(self) -> None:
        limit = min(self._limits.retry_first * 2**self._failures, self._limits.retry_last)
        self._failures = min(self._failures + 1, 10)
        # Jitter: many hosts that lost their libvirt together do not come back together.
        delay = random.uniform(limit / 2, limit)  # noqa: S311 - no secret
        self._set_timer(LOOP.call_later(delay, self._again))

    def _again(self) -> None:
        with self._lock:
            if self._running and self._opening is None and self._session is None:
                self._open()

    def _set_timer(self, timer: Timer | None) -> None:
        previous, self._timer = self._timer, timer
        if previous is not None:
            previous.cancel()

    def _closed(self, session: Session) -> None:
        self.drop(session, ENDED)


def _reason(error: BaseException) -> str:
    message = error.get_error_message() if isinstance(error, libvirt.libvirtError) else None
    return message or str(error)
