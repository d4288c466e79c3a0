"""WebSockets (RFC 6455) without input and output: the handshake's headers, and frames. The gate to wsproto.

No extension is agreed on: what is sent is not compressed, and what is received cannot unfold.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import wsproto.connection
from wsproto import events

from virshmanagerd.web import Problem

MAX_MESSAGE_BYTES = 64 * 1024
KEY_BYTES = 16
VERSION = "13"
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TOO_BIG = 1009

Message = bytes | str


@dataclass(frozen=True)
class Ping:
    """The other side asks for a sign of life with the same payload."""

    payload: bytes


@dataclass(frozen=True)
class Closing:
    """Nothing more can be received: the other side said so, or what it sent is refused with this code."""

    code: int
    reason: str = ""


def accept(environ: Mapping[str, Any]) -> dict[str, str]:
    """Return the headers that agree to a request's upgrade.

    Raises:
        Problem: 426 ``upgrade_required``, or 400 ``bad_request``.
    """
    if environ.get("HTTP_UPGRADE", "").lower() != "websocket" or not _upgrades(environ):
        raise Problem("upgrade_required", 426, "This is a WebSocket.", _UPGRADE)
    if environ.get("HTTP_SEC_WEBSOCKET_VERSION") != VERSION:
        wanted = {**_UPGRADE, "Sec-WebSocket-Version": VERSION}
        raise Problem("upgrade_required", 426, f"The version of the WebSocket is not {VERSION}.", wanted)
    key: str = environ.get("HTTP_SEC_WEBSOCKET_KEY", "")
    if not _is_key(key):
        raise Problem("bad_request", 400, "Sec-WebSocket-Key is not 16 bytes in base64.")
    token = hashlib.sha1(key.encode() + GUID, usedforsecurity=False).digest()
    return {**_UPGRADE, "Sec-WebSocket-Accept": base64.b64encode(token).decode()}


_UPGRADE = {"Upgrade": "websocket", "Connection": "Upgrade"}


def _upgrades(environ: Mapping[str, Any]) -> bool:
    options = environ.get("HTTP_CONNECTION", "").lower().split(",")
    return "upgrade" in {option.strip() for option in options} and environ["SERVER_PROTOCOL"] == "HTTP/1.1"


def _is_key(key: str) -> bool:
    try:
        return len(base64.b64decode(key, validate=True)) == KEY_BYTES
    except ValueError:  # binascii.Error, and letters beyond ASCII
        return False


def size(message: Message) -> int:
    """Return how many bytes a message has on the way."""
    return len(message) if isinstance(message, bytes) or message.isascii() else len(message.encode())


class Framing:
    """The frames of one connection, seen from the server."""

    def __init__(self) -> None:
        self._wire = wsproto.connection.Connection(wsproto.ConnectionType.SERVER)
        self._parts: list[Message] = []
        self._bytes = 0
        self._ended = False

    def receive(self, data: bytes) -> Iterator[Message | Ping | Closing]:
        """Take bytes of the client; yield whole messages and what else there is to heed.

        After a ``Closing`` nothing more comes, whatever is received.
        """
        if self._ended:
            return
        self._wire.receive_data(data)
        for event in self._wire.events():
            if isinstance(event, events.Ping):
                yield Ping(bytes(event.payload))
            elif isinstance(event, events.CloseConnection):
                self._ended = True
                yield Closing(int(event.code), event.reason or "")
            elif isinstance(event, (events.TextMessage, events.BytesMessage)):
                yield from self._join(event)
            if self._ended:
                return

    def _join(self, part: events.TextMessage | events.BytesMessage) -> Iterator[Message | Closing]:
        data = part.data if isinstance(part.data, str) else bytes(part.data)
        self._bytes += size(data)
        if self._bytes > MAX_MESSAGE_BYTES:
            self._ended = True
            yield Closing(TOO_BIG, f"a message has at most {MAX_MESSAGE_BYTES} bytes")
            return
        if data:  # empty parts without end must not pile up
            self._parts.append(data)
        if part.message_finished:
            empty: Any = "" if isinstance(data, str) else b""
            yield empty.join(self._parts)
            self._parts, self._bytes = [], 0

    def message(self, message: Message) -> bytes:
        """Return the frame of a message."""
        if isinstance(message, str):
            return self._wire.send(events.TextMessage(data=message))
        return self._wire.send(events.BytesMessage(data=message))

    def ping(self) -> bytes:
        """Return the frame that asks for a sign of life."""
        return self._wire.send(events.Ping())

    def pong(self, payload: bytes) -> bytes:
        """Return the frame that answers a ping."""
        return self._wire.send(events.Pong(payload=payload))

    def close(self, code: int, reason: str) -> bytes:
        """Return the last frame. Its reason is cut to 123 bytes."""
        return self._wire.send(events.CloseConnection(code=code, reason=reason or None))
