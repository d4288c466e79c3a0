"""WebSockets for tests: a stream that does what a test wants, and clients on sockets, good and bad."""

from __future__ import annotations

import contextlib
import functools
import queue
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from authority import Pair
from doors import Host
from websockets.sync.client import ClientConnection
from websockets.sync.client import connect as connect_client

from virshmanagerd import routes
from virshmanagerd.routes import Access, Route
from virshmanagerd.streams import Pipe
from virshmanagerd.web import Request

PATH = "/v1/tests/stream"
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
UPGRADE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": KEY,
}
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
END, RSV1 = 0x80, 0x40


class Recorder:
    """A stream that remembers its calls, and answers a message with ``reply``."""

    def __init__(self, reply: Callable[[Pipe, bytes | str], None] | None = None) -> None:
        self._reply = reply or (lambda _pipe, _data: None)
        self.messages: queue.SimpleQueue[bytes | str] = queue.SimpleQueue()
        self.open, self.over = threading.Event(), threading.Event()
        self.drains = self.ends = 0
        self.pipe: Pipe

    def opened(self, pipe: Pipe) -> None:
        self.pipe = pipe
        self.open.set()

    def received(self, data: bytes | str) -> None:
        self.messages.put(data)
        self._reply(self.pipe, data)

    def drained(self) -> None:
        self.drains += 1

    def closed(self) -> None:
        self.ends += 1
        self.over.set()


def echo(pipe: Pipe, data: bytes | str) -> None:
    """Send back what came."""
    pipe.send(data)


class Streams:
    """The streams that were opened on the test's route, in turn."""

    def __init__(self) -> None:
        self.reply: Callable[[Pipe, bytes | str], None] = echo
        self.made: list[Recorder] = []

    def open(self, _daemon: object, _request: Request) -> Recorder:
        """The route's handler."""
        self.made.append(Recorder(self.reply))
        return self.made[-1]

    @property
    def last(self) -> Recorder:
        """The newest one, once it is open."""
        assert self.made[-1].open.wait(5)
        return self.made[-1]


def add_route(monkeypatch: pytest.MonkeyPatch, handler: Any) -> None:
    """Put a stream at ``PATH``."""
    table = (*routes.ROUTES, Route("GET", PATH, handler, Access.OWNER, stream=True))
    monkeypatch.setattr(routes, "match", functools.partial(routes.match, routes=table))


@contextlib.contextmanager
def client(host: Host, pair: Pair, path: str = PATH, **options: Any) -> Iterator[ClientConnection]:
    """A well-behaved client."""
    address, port = host.address
    options = {"compression": None, "ping_interval": None, "max_size": None, **options}
    with connect_client(f"wss://{address}:{port}{path}", ssl=host.context(pair), **options) as connection:
        yield connection


class Raw:
    """A client that sends what a test wants, frame by frame."""

    def __init__(self, host: Host, pair: Pair, path: str = PATH) -> None:
        self.socket: ssl.SSLSocket = host.connect(pair)
        headers = "".join(f"{name}: {value}\r\n" for name, value in UPGRADE.items())
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: h\r\n{headers}\r\n".encode())
        self.head = b""
        while not self.head.endswith(b"\r\n\r\n"):
            self.head += self.socket.recv(1)

    def __enter__(self) -> Raw:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, opcode: int, payload: bytes = b"", *, flags: int = END) -> None:
        """Send one masked frame."""
        self.socket.sendall(frame(opcode, payload, flags=flags))

    def receive(self) -> tuple[int, bytes]:
        """Read one frame."""
        first, length = self._exactly(2)
        if length == 126:
            (length,) = struct.unpack("!H", self._exactly(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", self._exactly(8))
        return first & 0x0F, self._exactly(length)

    def closing(self) -> int:
        """Read up to the close frame; return its code."""
        while True:
            opcode, payload = self.receive()
            if opcode == CLOSE:
                return int.from_bytes(payload[:2], "big")

    def ended(self) -> bool:
        """Say whether the daemon has closed the connection; waits for it."""
        try:
            return self.socket.recv(1) == b""
        except (ssl.SSLError, ConnectionError):
            return True

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            piece = self.socket.recv(count - len(data))
            assert piece, "the connection ended"
            data += piece
        return data


def frame(opcode: int, payload: bytes = b"", *, flags: int = END, masked: bool = True) -> bytes:
    """Return a client's frame."""
    size = len(payload)
    long = size if size < 126 else 126 if size < 65536 else 127
    extended = {126: struct.pack("!H", size & 0xFFFF), 127: struct.pack("!Q", size)}.get(long, b"")
    mask = b"\x00\x00\x00\x00" if masked else b""
    return bytes([flags | opcode, long | (0x80 if masked else 0)]) + extended + mask + payload
