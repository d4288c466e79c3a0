"""One stream on its WebSocket, driven by the engine's loop: what it is given to send, and what it hears.

Each step is bounded, and none waits. Other threads only put messages into the queue, and wake the loop.
"""

from __future__ import annotations

import logging
import selectors
import ssl
import threading
import time
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from virshmanagerd.channel import PIECE
from virshmanagerd.websocket import Closing, Framing, Message, Ping, size

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from virshmanagerd.channel import Channel
    from virshmanagerd.streams import Stream

logger = logging.getLogger(__name__)

PING_SECONDS = 20.0
PONG_SECONDS = 20.0
STALL_SECONDS = 30.0  # nothing of what is sent is taken
CLOSE_SECONDS = 5.0
BYTES_PER_TURN = 256 * 1024
# While a stream is paused so much is taken for it all the same, to hear pings and the end. A message counts
# for what it has, and for what it takes of memory beside.
HELD_BYTES = 64 * 1024
MESSAGE_COST = 64
DEFECT = 1011
FOREVER = float("inf")


class Loop(Protocol):
    """What a conversation needs of the engine."""

    def call(self, function: Callable[[], None]) -> None:
        """Have the loop call a function. Any thread may ask."""

    def call_later(self, seconds: float, function: Callable[[], None]) -> None:
        """Have the loop call a function after a while. For the loop alone."""

    def watch(self, target: Any, events: int, function: Callable[[], None]) -> None:
        """Call a function when a socket is ready for ``events``; 0 for never."""


class Conversation:
    """The ``Pipe`` of a ``Stream``. What is not of ``Pipe`` is for the loop alone."""

    def __init__(self, channel: Channel, stream: Stream, loop: Loop, advance: Callable[[], None]) -> None:
        """Speak on ``channel``; ``advance`` makes the connection go on."""
        self._channel = channel
        self._stream = stream
        self._loop = loop
        self._advance = advance
        self._framing = Framing()
        self._inbox: deque[Message] = deque()
        self._held = 0
        self._outgoing = memoryview(b"")
        self._queue: deque[Message] = deque()
        self._queued = 0
        self._lock = threading.Lock()
        self._pong: bytes | None = None
        self._ping = False
        self._paused = False
        self._awake = False
        self._closing: Closing | None = None
        self._close_sent = self._close_heard = self._over = False
        self._idle = True
        self._watched: dict[socket.socket, None] = {}
        self._heard = time.monotonic()
        self._next_ping = self._heard + PING_SECONDS
        self._give_up = FOREVER
        self._sent_seen = channel.sent

    def start(self, head: bytes) -> None:
        """Send the answer to the request, and introduce the stream to its pipe."""
        self._channel.notice_death(STALL_SECONDS)
        self._outgoing = memoryview(head)
        self._guard(partial(self._stream.opened, self))

    # What any thread may call.

    @property
    def unsent(self) -> int:
        """See ``streams.Pipe``."""
        with self._lock:
            return self._queued + len(self._outgoing)

    def send(self, data: bytes | str) -> None:
        """See ``streams.Pipe``."""
        with self._lock:
            if self._closing or self._over:
                return
            self._queue.append(data)
            self._queued += size(data)
        self._wake()

    def close(self, code: int = 1000, reason: str = "", *, discard: bool = False) -> None:
        """See ``streams.Pipe``."""
        with self._lock:
            self._closing = self._closing or Closing(code, reason)
            if discard:
                self._forget_queue()
        self._wake()

    def pause(self) -> None:
        """See ``streams.Pipe``."""
        self._paused = True
        self._wake()

    def resume(self) -> None:
        """See ``streams.Pipe``."""
        self._heard = time.monotonic()  # it could not be heard meanwhile
        self._paused = False
        self._wake()

    def call(self, function: Callable[[], None]) -> None:
        """See ``streams.Pipe``."""
        self._loop.call(partial(self._guard, function))

    # What the loop calls.

    def call_later(self, seconds: float, function: Callable[[], None]) -> None:
        """See ``streams.Pipe``."""
        self._loop.call_later(seconds, partial(self._guard, function))

    def watch(self, sock: socket.socket, events: int, function: Callable[[], None]) -> None:
        """See ``streams.Pipe``."""
        if events and not self._over:
            self._watched[sock] = None
            self._loop.watch(sock, events, partial(self._guard, function))
        else:
            self._watched.pop(sock, None)
            self._loop.watch(sock, 0, function)

    def advance(self) -> int | None:
        """Take and send a bounded amount; return the events to wait for, or None at the end of all.

        Raises OSError when the connection is lost.
        """
        self._deliver()
        if self._listens:
            self._take()
            self._deliver()
        everything = self._send()
        if everything and self._close_sent and self._close_heard:
            return None
        return selectors.EVENT_READ * self._listens | selectors.EVENT_WRITE * (not everything)

    def lives(self, now: float) -> bool:
        """Say whether the client still keeps its deadlines; ask it for a sign of life when it is time."""
        if now >= self._give_up:
            return False
        if self._closing:
            return True
        if self._listens and now >= self._heard + PING_SECONDS + PONG_SECONDS:
            return False
        if now >= self._next_ping:
            self._next_ping = now + PING_SECONDS
            self._ping = True
            self._wake()
        return True

    def end(self) -> None:
        """Tell the stream that it is over, once."""
        with self._lock:
            if self._over:
                return
            self._over = True
            self._forget_queue()
        for sock in list(self._watched):
            self.watch(sock, 0, _nothing)
        self._advance = _nothing  # a connection must not hold itself
        abandon(self._stream)

    @property
    def _listens(self) -> bool:
        return not self._close_heard and self._held < HELD_BYTES

    def _take(self) -> None:
        try:
            data = self._channel.receive()
        except ssl.SSLWantReadError:
            return
        if not data:
            raise ConnectionAbortedError("the client has gone without a word")
        self._channel.renew_allowance()
        self._heard = time.monotonic()
        for event in self._framing.receive(data):
            if isinstance(event, Ping):
                self._pong = event.payload  # of several only the last needs an answer (RFC 6455, 5.5.3)
            elif isinstance(event, Closing):
                self._deliver()
                self._close_heard = True
                self.close(event.code, event.reason, discard=True)
            else:
                self._inbox.append(event)
                self._held += size(event) + MESSAGE_COST

    def _deliver(self) -> None:
        while self._inbox and (self._closing or not self._paused):
            message = self._inbox.popleft()
            self._held -= size(message) + MESSAGE_COST
            if not self._closing:
                self._guard(partial(self._stream.received, message))

    def _send(self) -> bool:
        """Say whether all that was there has gone to the kernel."""
        budget = BYTES_PER_TURN
        try:
            while budget > 0 and (self._outgoing or self._gather()):
                sent = self._channel.send(self._outgoing)
                self._outgoing = self._outgoing[sent:]
                budget -= sent
            self._channel.flush()
        except ssl.SSLWantWriteError:
            self._blocked()
            return False
        if budget <= 0:
            return False  # there may be more, and others have their turn first
        if not self._close_sent:
            self._give_up = FOREVER
        if not self._idle:
            self._idle = True
            self._guard(self._stream.drained)
        return True

    def _blocked(self) -> None:
        if self._close_sent:
            return
        if self._give_up == FOREVER or self._channel.sent != self._sent_seen:
            self._sent_seen = self._channel.sent
            self._give_up = time.monotonic() + STALL_SECONDS

    def _gather(self) -> bool:
        """Make the next frames ready, about one piece of them; False when there are none."""
        frames: list[bytes] = []
        with self._lock:
            if not self._close_heard and not self._close_sent:
                self._gather_open(frames)
            if self._closing and not self._queue and not self._close_sent:
                frames.append(self._framing.close(self._closing.code, self._closing.reason))
                self._close_sent = True
                self._give_up = time.monotonic() + CLOSE_SECONDS
            self._outgoing = memoryview(b"".join(frames))
        return bool(frames)

    def _gather_open(self, frames: list[bytes]) -> None:
        if self._pong is not None:
            frames.append(self._framing.pong(self._pong))
            self._pong = None
        if self._ping:
            frames.append(self._framing.ping())
            self._ping = False
        room = PIECE
        while self._queue and room > 0:
            data = self._queue.popleft()
            self._queued -= size(data)
            frames.append(self._framing.message(data))
            room -= len(frames[-1])
            self._idle = False

    def _forget_queue(self) -> None:
        self._queue.clear()
        self._queued = 0

    def _wake(self) -> None:
        if not self._awake:
            self._awake = True
            self._loop.call(self._woken)

    def _woken(self) -> None:
        self._awake = False  # first: what is put into the queue from now on wakes again
        self._advance()

    def _guard(self, function: Callable[[], None]) -> None:
        if self._over:
            return
        try:
            function()
        except Exception:
            # A defect in one stream must not end the others.
            logger.exception("a stream failed")
            self.close(DEFECT)


def abandon(stream: Stream) -> None:
    """Tell a stream that it is over, perhaps before it could begin."""
    try:
        stream.closed()
    except Exception:
        logger.exception("a stream failed at its end")  # as in _guard


def _nothing() -> None:
    """What is left to do for a stream that is over."""
