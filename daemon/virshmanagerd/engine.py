"""One loop, any number of daemons: it accepts, speaks TLS and HTTP, and has requests answered by threads.

A stranger costs the loop a handshake and a few kilobytes, for a few seconds. Only complete requests
reach a thread, and strangers have threads of their own.
"""

from __future__ import annotations

import contextlib
import errno
import heapq
import itertools
import logging
import selectors
import socket
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from virshmanagerd.app import Application
from virshmanagerd.connection import Connection
from virshmanagerd.conversation import Loop
from virshmanagerd.crowd import Crowd
from virshmanagerd.exchange import Answer, RawRequest, answer_from, answer_of
from virshmanagerd.lane import Lane
from virshmanagerd.web import Problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from virshmanagerd.daemon import Daemon

logger = logging.getLogger(__name__)

TICK_SECONDS = 1.0
GRACE_SECONDS = 3.0
GOING_AWAY = 1001
ACCEPTS_AT_ONCE = 16
STRANGERS = 512
STRANGERS_PER_SOURCE = 16
PROVEN = 128


class Door:
    """One daemon's listening socket, and the connections that came through it."""

    def __init__(self, engine: Engine, daemon: Daemon, listener: socket.socket) -> None:
        self._engine = engine
        self._application = Application(daemon)
        self._strangers: Crowd[Connection] = Crowd(total=STRANGERS, per_source=STRANGERS_PER_SOURCE)
        self._proven: Crowd[Connection] = Crowd(total=PROVEN, per_source=PROVEN)
        self.daemon = daemon
        self.listener = listener

    @property
    def loop(self) -> Loop:
        """See ``connection.Keeper``."""
        return self._engine

    def connections(self) -> list[Connection]:
        """Return all connections of this moment."""
        return self._strangers.members() + self._proven.members()

    def accept(self) -> None:
        """Take new connections, a few at a time so that the others get their turn."""
        for _ in range(ACCEPTS_AT_ONCE):
            try:
                sock, address = self.listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}:
                    self._engine.pause(self)
                return
            self._welcome(sock, address[0])

    def _welcome(self, sock: socket.socket, address: str) -> None:
        try:
            connection = Connection(self, sock, address, self.daemon.trust, self._engine.next_number())
        except OSError:
            sock.close()
            return
        self._admit(self._strangers, connection)
        connection.advance()

    def _admit(self, crowd: Crowd[Connection], connection: Connection) -> None:
        victim = crowd.add(connection)
        if victim:
            victim.close()

    def watch(self, connection: Connection, events: int) -> None:
        """See ``connection.Keeper``."""
        self._engine.watch(connection, events, connection.advance)

    def prove(self, connection: Connection) -> None:
        """See ``connection.Keeper``."""
        self._strangers.discard(connection)
        self._admit(self._proven, connection)

    def forget(self, connection: Connection) -> None:
        """See ``connection.Keeper``."""
        self._engine.watch(connection, 0, connection.advance)
        self._strangers.discard(connection)
        self._proven.discard(connection)

    def dispatch(self, connection: Connection, request: RawRequest) -> None:
        """See ``connection.Keeper``."""
        lane = self._engine.proven_lane if connection.peer.certificate else self._engine.stranger_lane

        def work() -> None:
            answer = answer_of(self._application, request.environ(connection.peer))
            self._engine.call(lambda: self._complete(connection, answer))

        if not lane.submit(work):
            busy = Problem("queue_full", 503, "Too many requests wait.", {"Retry-After": "1"})
            connection.reply(answer_from(busy.response()), last=False)

    def _complete(self, connection: Connection, answer: Answer) -> None:
        self.close_stale()
        stale = not self.daemon.trust.believes(connection.peer)
        connection.reply(answer, last=stale or self._engine.stopping)

    def close_stale(self) -> None:
        """Close what was opened under an older trust; only who changed it gets his answer first."""
        trust = self.daemon.trust
        for connection in self.connections():
            peer = connection.peer
            if not trust.believes(peer) and peer.connection != trust.changed_by:
                connection.close()

    def sweep(self, now: float) -> None:
        """Notice what time has changed: deadlines, and the daemon's trust."""
        self.daemon.poll()
        self.close_stale()
        for connection in self.connections():
            connection.sweep(now)


class Engine:
    """The loop. ``add``, ``remove``, ``call`` and ``stop`` may be called from any thread."""

    def __init__(self, *, proven_threads: int = 24, stranger_threads: int = 2) -> None:
        self.proven_lane = Lane("proven", threads=proven_threads, backlog=128)
        self.stranger_lane = Lane("stranger", threads=stranger_threads, backlog=256)
        self.stopping = False
        self._selector = selectors.DefaultSelector()
        self._numbers = itertools.count(1)
        self._doors: dict[Daemon, Door] = {}
        self._paused: list[Door] = []
        self._calls: deque[Callable[[], None]] = deque()
        self._waking = False
        self._later: list[tuple[float, int, Callable[[], None]]] = []
        # Not bare descriptors: a thread that comes late must not write into a number that was reused.
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._wake_reader.setblocking(False)
        self._wake_writer.setblocking(False)
        self._selector.register(self._wake_reader, selectors.EVENT_READ, self._woken)

    def add(self, daemon: Daemon, listener: socket.socket) -> None:
        """Serve a daemon on a listening socket, which the engine owns from now on."""
        listener.setblocking(False)
        door = Door(self, daemon, listener)

        def begin() -> None:
            self._doors[daemon] = door
            self.watch(listener, selectors.EVENT_READ, door.accept)

        self.call(begin)

    def remove(self, daemon: Daemon) -> None:
        """Stop serving a daemon: its listener and its connections are closed."""

        def end() -> None:
            door = self._doors.pop(daemon, None)
            if door:
                self._close_door(door)

        self.call(end)

    def call(self, function: Callable[[], None]) -> None:
        """Have the loop call a function."""
        self._calls.append(function)
        if not self._waking:
            self._waking = True
            self._wake()

    def call_later(self, seconds: float, function: Callable[[], None]) -> None:
        """Call a function after a while. For the loop's own thread alone."""
        heapq.heappush(self._later, (time.monotonic() + seconds, self.next_number(), function))

    def stop(self) -> None:
        """Make ``run`` return, after requests at work had a short while to end. Safe in signal handlers."""
        self.stopping = True
        self._wake()

    def run(self, on_tick: Callable[[], None] = lambda: None) -> None:
        """Serve until ``stop``; call ``on_tick`` about once a second."""
        next_tick = time.monotonic()
        while not self.stopping:
            next_call = self._later[0][0] if self._later else next_tick
            self._turn(max(0.0, min(next_tick, next_call) - time.monotonic()))
            if time.monotonic() >= next_tick:
                next_tick = time.monotonic() + TICK_SECONDS
                self._tick()
                on_tick()
        self._end()

    def next_number(self) -> int:
        """Return a number that was not returned before, such as a connection's name in this process."""
        return next(self._numbers)

    def watch(self, target: Any, events: int, function: Callable[[], None]) -> None:
        """Call a function when a socket is ready for ``events``; 0 for never."""
        known = self._known(target)
        if known is None and events:
            self._selector.register(target, events, function)
        elif known is not None and not events:
            self._selector.unregister(target)
        elif known is not None and (known.events, known.data) != (events, function):
            self._selector.modify(target, events, function)

    def _known(self, target: Any) -> selectors.SelectorKey | None:
        try:
            return self._selector.get_map().get(target)
        except ValueError:  # it was closed, and never watched
            return None

    def pause(self, door: Door) -> None:
        """Accept no more until the next tick: the process is out of descriptors."""
        logger.warning("out of file descriptors: new connections wait")
        self.watch(door.listener, 0, door.accept)
        self._paused.append(door)

    def _turn(self, timeout: float) -> None:
        for key, _ in self._selector.select(timeout):
            key.data()
        for _ in range(len(self._calls)):
            self._calls.popleft()()
        while self._later and self._later[0][0] <= time.monotonic():
            heapq.heappop(self._later)[2]()

    def _tick(self) -> None:
        now = time.monotonic()
        for door in self._paused:
            if self._doors.get(door.daemon) is door:
                self.watch(door.listener, selectors.EVENT_READ, door.accept)
        self._paused.clear()
        for door in list(self._doors.values()):
            door.sweep(now)

    def _end(self) -> None:
        for door in self._doors.values():
            self._close_listener(door)
            for connection in door.connections():
                connection.leave(GOING_AWAY)
        until = time.monotonic() + GRACE_SECONDS
        while time.monotonic() < until and any(door.connections() for door in self._doors.values()):
            self._turn(0.1)
        for door in self._doors.values():
            self._close_door(door)
        self._selector.close()
        self._wake_reader.close()
        self._wake_writer.close()

    def _close_door(self, door: Door) -> None:
        self._close_listener(door)
        for connection in door.connections():
            connection.close()

    def _close_listener(self, door: Door) -> None:
        if door.listener.fileno() >= 0:
            self.watch(door.listener, 0, door.accept)
            door.listener.close()

    def _wake(self) -> None:
        with contextlib.suppress(OSError):  # it is full of earlier calls to wake, or the loop has ended
            self._wake_writer.send(b"\0")

    def _woken(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._wake_reader.recv(4096):
                pass
        # Not before: then the byte of a call that comes now could be read with the rest, and nobody would
        # wake the loop again. A call that came until now has its turn with the others.
        self._waking = False
