"""Somebody at a console of a guest, through the daemon."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator

from authority import Authority
from doors import Host
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection
from wires import client

PROMPT = b"/ # "


class Console:
    """Somebody at a console. ``text`` is all that was said, ``told`` the text frames."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self.text = bytearray()
        self.told: list[dict[str, object]] = []

    def receive(self, timeout: float = 10) -> bytes:
        """The next binary message."""
        while True:
            message = self._connection.recv(timeout)
            if isinstance(message, bytes):
                self.text += message
                return message
            self.told.append(json.loads(message))

    def ready(self) -> dict[str, object]:
        """What is told at first."""
        return dict(json.loads(self._connection.recv(10)))

    def expect(self, text: bytes, seconds: float = 60) -> None:
        """Wait for a text, and forget what came before it."""
        end = time.monotonic() + seconds
        while text not in self.text:
            assert time.monotonic() < end, bytes(self.text[-500:])
            with contextlib.suppress(TimeoutError):
                self.receive(1)
        del self.text[: self.text.index(text) + len(text)]

    def type(self, text: str) -> None:
        """Type something."""
        self._connection.send(text.encode())

    def send(self, data: bytes) -> None:
        """Send bytes."""
        self._connection.send(data)

    def shell(self) -> None:
        """Wait until the shell listens."""
        while True:
            self.type("\x03\r")
            with contextlib.suppress(AssertionError):
                self.expect(PROMPT, 3)
                return

    def code(self) -> int:
        """The code with which the daemon closes it."""
        try:
            while True:
                self.receive(20)
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd else 0


@contextlib.contextmanager
def console(
    host: Host,
    authority: Authority,
    kind: str = "serial",
    mode: str = "ask",
    *,
    uuid: str,
    ahead: int | None = None,
) -> Iterator[Console]:
    """Open a console. With ``ahead`` the client reads so many messages and no more, until they are taken."""
    path = f"/v1/domains/{uuid}/console/{kind}?mode={mode}"
    with client(host, authority.server(), path, max_queue=ahead) as connection:
        yield Console(connection)
