"""The deadline of a call, on its socket: whatever the other side sends, the call ends."""

import math
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final

# How a connection ends that the other side closed while we wrote or read.
CUT: Final = (ConnectionResetError, BrokenPipeError, ssl.SSLEOFError)
# Seconds after its deadline when a call is ended from outside: mostly it has ended itself by then.
GRACE: Final = 0.2


@dataclass
class Call:
    """`spoke`: some of the request was given to a connection whose handshake was good."""

    ends_at: float
    spoke: bool = False
    _socket: socket.socket | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def left(self) -> float:
        """The seconds until its end. Raises TimeoutError after it."""
        left = self.ends_at - time.monotonic()
        if left <= 0:
            raise TimeoutError("the deadline of the call has passed")
        return left

    def works_on(self, connection: socket.socket | None) -> None:
        """What to cut when the call does not end."""
        with self._lock:
            self._socket = connection

    def cut(self) -> None:
        """Close the connection under whoever reads or writes it."""
        with self._lock, suppress(OSError):
            if self._socket is not None:
                # Not of SSLSocket, whose `shutdown` would take its state from the thread that uses it.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


_call: ContextVar[Call] = ContextVar("call")


def current_call() -> Call:
    """The call that this thread is in."""
    return _call.get()


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """End everything that a call inside does on its connection, of this thread, after so many seconds."""
    call = Call(time.monotonic() + seconds)
    token = _call.set(call)
    timer = threading.Timer(seconds + GRACE, call.cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        call.works_on(None)
        _call.reset(token)


class CutOff(ConnectionResetError):
    """Reset or closed after a good handshake, before the first byte."""


class DeadlineSocket(ssl.SSLSocket):
    """All ends with the call's deadline.

    `requests` alone lets a slow drip go on for ever, and the kernel sends again and again what is not
    acknowledged, also for a process that hangs. OpenSSL reads on for as long as records come that carry no
    data, such as KeyUpdate (RFC 8446, 4.6.3), and looks at no clock: then the connection is cut.
    """

    _heard = False

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 -- as the base class has it
        call = _call.get()
        call.works_on(self)
        super().do_handshake(block)

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        call = _call.get()
        call.works_on(self)
        timeout = self.gettimeout()
        self.settimeout(call.left() if timeout is None else min(timeout, call.left()))
        with self._first_exchange(call):
            size = super().recv_into(*args, **kwargs)
        if not size:
            call.left()
            if not self._heard:
                raise CutOff
        self._heard = True
        return size

    def send(self, *args: Any) -> int:
        call = _call.get()
        call.works_on(self)
        self.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, math.ceil(call.left() * 1000))
        call.spoke = True
        with self._first_exchange(call):
            return super().send(*args)

    @contextmanager
    def _first_exchange(self, call: Call) -> Iterator[None]:
        try:
            yield
        except CUT as error:
            call.left()
            if self._heard:
                raise
            raise CutOff from error
