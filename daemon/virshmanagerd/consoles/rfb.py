"""What a VNC client says (RFC 6143), with everything taken out that could change the guest.

A filter in front of a screen that may be looked at, and not touched. It follows the client's side alone,
in pieces of any size, and ends at the first thing that it does not know: to guess how long a message is
would be to let through what follows it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

# The daemon asks libvirt for a display without a password: clients of 3.3 would be told, not asked.
VERSIONS: Final = (b"RFB 003.007\n", b"RFB 003.008\n")
NO_PASSWORD: Final = b"\x01"
SHARED: Final = b"\x01"
QEMU: Final = 255
EXTENDED_KEY: Final = 0
MOST_TEXT: Final = 1024 * 1024


class RfbError(Exception):
    """The client says what cannot be followed."""


@dataclass(frozen=True)
class Kind:
    """A client's message: the length of its head, how much follows, and whether it may pass."""

    head: int
    passes: bool
    rest: Callable[[bytes], int] = lambda _head: 0


def _encodings(head: bytes) -> int:
    return 4 * int.from_bytes(head[2:4], "big")


def _text(head: bytes) -> int:
    # A negative length announces the extended clipboard, which is as long as its amount.
    length = abs(int.from_bytes(head[4:8], "big", signed=True))
    if length > MOST_TEXT:
        raise RfbError("the client's clipboard is too large")
    return length


def _fence(head: bytes) -> int:
    return head[8]


def _screens(head: bytes) -> int:
    return 16 * head[6]


def _extended_key(head: bytes) -> int:
    if head[1] != EXTENDED_KEY:
        raise RfbError(f"the client sends QEMU's message {head[1]}")
    return 10


# RFC 6143, 7.5, and the registry of the RFB protocol (github.com/rfbproto/rfbproto).
KINDS: Final = MappingProxyType(
    {
        0: Kind(20, passes=True),  # SetPixelFormat
        2: Kind(4, passes=True, rest=_encodings),  # SetEncodings
        3: Kind(10, passes=True),  # FramebufferUpdateRequest
        4: Kind(8, passes=False),  # KeyEvent
        5: Kind(6, passes=False),  # PointerEvent
        6: Kind(8, passes=False, rest=_text),  # ClientCutText
        150: Kind(10, passes=True),  # EnableContinuousUpdates
        248: Kind(9, passes=True, rest=_fence),  # ClientFence
        250: Kind(4, passes=False),  # xvp: shut down, reboot, reset
        251: Kind(8, passes=False, rest=_screens),  # SetDesktopSize
        QEMU: Kind(2, passes=False, rest=_extended_key),
    }
)


class ViewFilter:
    """The client's side of one connection, from its first byte."""

    def __init__(self) -> None:
        self._data, self._at = b"", 0  # what is unread begins at _at
        self._step: Callable[[], bytes | None] = self._version
        self._rest = 0  # of the body of the message that is being passed or dropped
        self._passes = False

    def feed(self, data: bytes) -> bytes:
        """Take bytes of the client; return those that may go on to the screen.

        Raises:
            RfbError: when the client says what is not known; nothing of it may go on any more.
        """
        self._data, self._at = self._data[self._at :] + data, 0
        passed: list[bytes] = []
        while (piece := self._step()) is not None:
            passed.append(piece)
        return b"".join(passed)

    def _take(self, size: int) -> bytes | None:
        if size > len(self._data) - self._at:
            return None
        self._at += size
        return self._data[self._at - size : self._at]

    def _version(self) -> bytes | None:
        version = self._take(len(VERSIONS[0]))
        if version is not None and version not in VERSIONS:
            raise RfbError("the client's version of RFB is not 3.7 or 3.8")
        self._step = self._version if version is None else self._security
        return version

    def _security(self) -> bytes | None:
        choice = self._take(1)
        if choice is not None and choice != NO_PASSWORD:
            raise RfbError(f"the client chooses the security type {choice[0]}")
        self._step = self._security if choice is None else self._initialisation
        return choice

    def _initialisation(self) -> bytes | None:
        if self._take(1) is None:
            return None
        self._step = self._message
        return SHARED  # who only looks must not send the others away

    def _message(self) -> bytes | None:
        if self._at == len(self._data):
            return None
        kind = KINDS.get(self._data[self._at])
        if kind is None:
            raise RfbError(f"the client sends a message of type {self._data[self._at]}")
        head = self._take(kind.head)
        if head is None:
            return None
        self._rest, self._passes, self._step = kind.rest(head), kind.passes, self._body
        return head if kind.passes else b""

    def _body(self) -> bytes | None:
        if not self._rest:
            self._step = self._message
            return b""
        piece = self._take(min(self._rest, len(self._data) - self._at))
        self._rest -= len(piece or b"")
        return (piece if self._passes else b"") if piece else None
