"""A pipe for tests: the loop turns when the test says so, and the client reads unless it is stuck."""

from __future__ import annotations

import json
import socket
from collections import deque
from collections.abc import Callable
from typing import Any

from virshmanagerd.streams import Stream


class FakePipe:
    """The pipe of one stream. ``sent`` is what the client has read."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._queue: deque[bytes | str] = deque()
        self._calls: deque[Callable[[], None]] = deque()
        self._over = False
        self.watched: dict[socket.socket, tuple[int, Callable[[], None]]] = {}
        self.sent: list[bytes | str] = []
        self.stuck = False
        self.paused = False
        self.code: int | None = None

    def open(self) -> None:
        """Begin."""
        self._stream.opened(self)
        self.turn()

    def receive(self, data: bytes | str) -> None:
        """The client sends something."""
        if self.code is None and not self.paused:
            self._stream.received(data)

    def end(self) -> None:
        """The connection is gone."""
        self._over = True
        self.watched.clear()
        self._stream.closed()

    def turn(self) -> None:
        """One turn of the loop and more, until there is nothing to do."""
        while self._calls or (self._queue and not self.stuck):
            while self._calls:
                function = self._calls.popleft()
                if not self._over:
                    function()
            if self._queue and not self.stuck:
                self._flush()
                if not self._over:
                    self._stream.drained()

    def _flush(self) -> None:
        self.sent.extend(self._queue)
        self._queue.clear()

    @property
    def text(self) -> list[str]:
        """The text messages."""
        return [message for message in self.sent if isinstance(message, str)]

    @property
    def told(self) -> list[dict[str, Any]]:
        """The text messages, decoded."""
        self.turn()
        return [json.loads(text) for text in self.text]

    @property
    def binary(self) -> list[bytes]:
        """The binary messages."""
        return [message for message in self.sent if isinstance(message, bytes)]

    @property
    def data(self) -> bytes:
        """All that the binary messages carried."""
        return b"".join(self.binary)

    # What the stream sees.

    @property
    def unsent(self) -> int:
        return sum(len(message) for message in self._queue)

    def send(self, data: bytes | str) -> None:
        if self.code is None and not self._over:
            self._queue.append(data)

    def close(self, code: int = 1000, reason: str = "", *, discard: bool = False) -> None:
        assert len(reason.encode()) <= 123
        if self.code is None:
            self.code = int(code)
            if discard:
                self._queue.clear()
            self._flush()

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False

    def call(self, function: Callable[[], None]) -> None:
        self._calls.append(function)

    def call_later(self, seconds: float, function: Callable[[], None]) -> None:
        raise NotImplementedError

    def watch(self, sock: socket.socket, events: int, function: Callable[[], None]) -> None:
        if events and not self._over:
            self.watched[sock] = (events, function)
        else:
            self.watched.pop(sock, None)
