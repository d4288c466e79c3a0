"""An open serial console: libvirt's stream to a guest's serial line.

Each serial console has a connection to libvirt of its own. A guest that does not read what is typed
makes libvirtd stop reading that connection, with all calls on it: 12 seconds were seen. Sending waits
then too, so it is done by threads, of which there are as many as such guests, and else one or two.

libvirt's client holds nothing back: while its stream is not read, what the guest writes piles up in
this process. So it is read always, and whoever is given it has to keep within bounds.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from functools import partial
from typing import Final, Protocol

import libvirt

from virshmanagerd.driver.consoles import End, begin, find_end
from virshmanagerd.driver.pool import Pool
from virshmanagerd.driver.session import KEEPALIVE
from virshmanagerd.errors import ConsoleBusy, DriverError, LibvirtDown

PIECE: Final = 64 * 1024
PIECES_AT_ONCE: Final = 16  # then other callbacks of libvirt's have their turn
SENT_AT_ONCE: Final = 4 * 1024
EVENTS: Final[int] = (
    libvirt.VIR_STREAM_EVENT_READABLE | libvirt.VIR_STREAM_EVENT_ERROR | libvirt.VIR_STREAM_EVENT_HANGUP
)
NOTHING_NOW: Final = -2
IDLE: Final = 0

HELD: Final = "another program on the host has this console, virsh console for example"

# Guests that do not read must not keep the consoles of others from being closed.
_TYPING = Pool(32)


class Listener(Protocol):
    """Whom a serial console tells, on threads of libvirt's: it must not wait."""

    def output(self, data: bytes) -> None:
        """The guest has written something."""

    def written(self) -> None:
        """All that was to be typed has been."""

    def ended(self, end: End) -> None:
        """The console is over; this comes once, unless it was closed before."""


class Ear:
    """Hears of a stream's events, in libvirt's place for them.

    libvirt's client never frees what belongs to a callback on a stream. If that were the stream itself, as
    the Python bindings have it, the connection would stay open for ever. So it is an object that can let go.
    """

    def __init__(self, stream: libvirt.virStream, hear: Callable[[int], None]) -> None:
        """Have `hear` called on libvirt's event thread. Raises libvirt.libvirtError."""
        self._o = stream._o
        self._hear: Callable[[int], None] | None = hear
        libvirt.virStream.eventAddCallback(self, EVENTS, None, None)

    def _dispatchStreamEventCallback(self, events: int, _data: object) -> int:  # noqa: N802 - libvirt's name
        if hear := self._hear:
            hear(events)
        return 0

    def close(self) -> None:
        """Hear nothing more, and hold nothing."""
        self._o = self._hear = None


class SerialConsole:
    """One open serial console. All methods but ``open`` return at once, and are safe for threads."""

    def __init__(self, listener: Listener, runs: Callable[[], bool]) -> None:
        """``runs`` says whether the guest still does; it may wait, and raise DriverError."""
        self._listener = listener
        self._runs = runs
        self._lock = threading.Lock()
        self._hearing = threading.Lock()
        self._connection: libvirt.virConnect | None = None
        self._stream: libvirt.virStream | None = None
        self._ear: Ear | None = None
        self._untyped = bytearray()
        self._typing = False
        self._ended = False  # nothing comes any more
        self._closed = False  # nobody wants to know

    def open(self, uri: str, uuid: str, alias: str | None, *, take: bool) -> None:
        """Open it. Blocks without limit. With ``take`` whoever has it loses it, where libvirt can do that.

        Raises ConsoleBusy, LibvirtDown, libvirt.libvirtError.
        """
        connection = _connect(uri)
        stream = connection.newStream(libvirt.VIR_STREAM_NONBLOCK)
        try:
            with contextlib.suppress(libvirt.libvirtError):  # a driver without a line that could break
                connection.setKeepAlive(*KEEPALIVE)
                connection.registerCloseCallback(self._lost, None)
            _open(connection.lookupByUUIDString(uuid), alias, stream, take=take)
            with self._lock:
                if not self._closed:
                    self._connection, self._stream = connection, stream
                    self._ear = Ear(stream, self._ready)
                    return
        except (libvirt.libvirtError, DriverError):
            self._connection = self._stream = None
            _release(connection, stream)
            raise
        _release(connection, stream)

    def close(self, then: Callable[[], None]) -> None:
        """Let go of it, also when it is just being opened; ``then`` is called on another thread."""
        with self._lock:
            self._closed = self._ended = True
            self._untyped.clear()
        begin(partial(self._give_back, then))

    @property
    def untyped(self) -> int:
        """Bytes that ``type`` has taken and libvirt has not."""
        with self._lock:
            return len(self._untyped)

    def type(self, data: bytes) -> None:
        """Send something to the guest; ``written`` tells when all of it has gone."""
        with self._lock:
            if self._ended:
                return
            self._untyped += data
            if self._typing:
                return
            self._typing = True
        _TYPING.submit(self._type)

    def forget_untyped(self) -> None:
        """Send nothing more of what was to be typed."""
        with self._lock:
            self._untyped.clear()

    def _type(self) -> None:
        while piece := self._next_piece():
            with contextlib.suppress(libvirt.libvirtError):  # it has failed: its event tells that
                if stream := self._stream:
                    stream.send(piece)  # libvirt's client takes all of it, or fails
        self._listener.written()

    def _next_piece(self) -> bytes:
        with self._lock:
            piece = bytes(self._untyped[:SENT_AT_ONCE])
            del self._untyped[:SENT_AT_ONCE]
            self._typing = bool(piece)
            return piece

    def _ready(self, events: int) -> None:
        with self._hearing:
            over = not self._read(events)
        if over:
            self._end()

    def _read(self, events: int) -> bool:
        """Take what has come; False when nothing will come any more."""
        stream = self._stream
        if stream is None:
            return False
        try:
            for _ in range(PIECES_AT_ONCE):
                data = stream.recv(PIECE)
                if data == NOTHING_NOW and events & ~libvirt.VIR_STREAM_EVENT_READABLE:
                    break
                if data == NOTHING_NOW:
                    return True
                if not data:
                    break
                self._listener.output(data)
            else:
                return True
        except libvirt.libvirtError:
            pass  # why it failed is found out in a better way than by the text of this error
        with contextlib.suppress(libvirt.libvirtError):
            stream.eventUpdateCallback(IDLE)
        return False

    def _lost(self, _connection: object, _reason: int, _opaque: None) -> None:
        self._end()

    def _end(self) -> None:
        with self._lock:
            if self._ended:
                return
            self._ended = True
        find_end(self._still_runs, self._listener.ended)

    def _still_runs(self) -> bool:
        connection, runs = self._connection, self._runs()
        if runs and connection is not None and not _stands(connection):
            raise LibvirtDown("the console's connection broke")  # nobody has taken it
        return runs

    def _give_back(self, then: Callable[[], None]) -> None:
        with self._lock:
            connection, self._connection = self._connection, None
            stream, self._stream = self._stream, None
            ear, self._ear = self._ear, None
        if connection is not None and stream is not None and ear is not None:
            _release(connection, stream)
            ear.close()
            self._hearing.acquire()  # who drops the last reference closes the connection, and may wait for
            self._hearing.release()  # that: it must not be libvirt's event thread, which may be reading
        del connection, stream, ear
        then()


def _connect(uri: str) -> libvirt.virConnect:
    try:
        return libvirt.open(uri)
    except libvirt.libvirtError as error:
        raise LibvirtDown(error.get_error_message() or str(error)) from None


def _stands(connection: libvirt.virConnect) -> bool:
    try:
        return bool(connection.isAlive())
    except libvirt.libvirtError:
        return False


def _open(domain: libvirt.virDomain, alias: str | None, stream: libvirt.virStream, *, take: bool) -> None:
    try:
        domain.openConsole(alias, stream, libvirt.VIR_DOMAIN_CONSOLE_FORCE if take else 0)
    except libvirt.libvirtError as error:
        code = error.get_error_code()
        if take and code == libvirt.VIR_ERR_INVALID_ARG:  # not every driver can take it from others
            _open(domain, alias, stream, take=False)
        elif code == libvirt.VIR_ERR_OPERATION_FAILED:
            raise ConsoleBusy(f"{HELD}: {error.get_error_message()}") from None
        else:
            raise


def _release(connection: libvirt.virConnect, stream: libvirt.virStream) -> None:
    """Give everything back to libvirt, which else keeps it for ever. May block."""
    for give_back in (stream.eventRemoveCallback, stream.abort, connection.unregisterCloseCallback):
        with contextlib.suppress(libvirt.libvirtError):
            give_back()
