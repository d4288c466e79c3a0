"""What stays open after an answer: events and consoles, as their two sides see each other.

A route of streams has a handler that returns a ``Stream`` instead of a ``Response``. The engine upgrades the
connection to a WebSocket, and then calls the stream, always on its one loop: a stream never waits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable


class Pipe(Protocol):
    """The daemon's end of one WebSocket. Its methods may be called from any thread, and never wait."""

    @property
    def unsent(self) -> int:
        """Bytes that ``send`` has taken and the kernel has not."""

    def send(self, data: bytes | str) -> None:
        """Send one message, binary or text. After the end it does nothing."""

    def close(self, code: int = 1000, reason: str = "", *, discard: bool = False) -> None:
        """Send what is unsent, unless it is to be discarded; then end the stream with a code of RFC 6455.

        The first call counts. Nothing is received after it.
        """

    def pause(self) -> None:
        """Receive no more until ``resume``. Some 64 KiB are still taken, then TCP holds the client back.

        When the client ends the stream meanwhile, what was taken is thrown away.
        """

    def resume(self) -> None:
        """Take messages from the client again."""

    def call(self, function: Callable[[], None]) -> None:
        """Have the loop call a function."""

    def call_later(self, seconds: float, function: Callable[[], None]) -> None:
        """Call a function after a while, if the stream is not over then. On the loop only."""

    def watch(self, sock: socket.socket, events: int, function: Callable[[], None]) -> None:
        """Call a function when another socket is ready for ``events``; 0: never. On the loop only.

        It ends with the stream. A socket must not be closed before.
        """


class Stream(Protocol):
    """One use of a WebSocket. The loop calls it.

    ``closed`` comes once, last, however the stream ended: also when it could not be opened at all. What
    a call raises is logged, and ends the stream with 1011.
    """

    def opened(self, pipe: Pipe) -> None:
        """The client can be spoken to."""

    def received(self, data: bytes | str) -> None:
        """One whole message of the client's."""

    def drained(self) -> None:
        """All that was unsent has gone to the kernel."""

    def closed(self) -> None:
        """Nothing can be sent or received any more."""
