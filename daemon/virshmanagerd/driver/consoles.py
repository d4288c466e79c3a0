"""Consoles of running domains: libvirt's stream to a serial line, and a socket to a VNC display.

Each serial console has a connection to libvirt of its own. A guest that does not read what is typed
makes libvirtd stop reading that connection, with all calls on it: 12 seconds were seen. Sending waits
then too, so it is done by threads, of which there are as many as such guests, and else one or two.

libvirt's client holds nothing back: while its stream is not read, what the guest writes piles up in
this process. So it is read always, and whoever is given it has to keep within bounds.
"""

from __future__ import annotations

import contextlib
import enum
import socket
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final, Protocol
from xml.etree.ElementTree import Element

import libvirt

from virshmanagerd import domainxml
from virshmanagerd.driver.eventloop import LOOP
from virshmanagerd.driver.pool import Pool
from virshmanagerd.driver.session import KEEPALIVE, Session
from virshmanagerd.driver.single import is_active
from virshmanagerd.errors import (
    ConsoleBusy,
    DriverError,
    LibvirtDown,
    NoSerialDevice,
    NoSuchDomain,
    NoVncDevice,
    WrongState,
)

PIECE: Final = 64 * 1024
PIECES_AT_ONCE: Final = 16  # then other callbacks of libvirt's have their turn
SENT_AT_ONCE: Final = 4 * 1024
SETTLE_SECONDS: Final = 5.0
LOOK_AGAIN_SECONDS: Final = 0.1
EVENTS: Final[int] = (
    libvirt.VIR_STREAM_EVENT_READABLE | libvirt.VIR_STREAM_EVENT_ERROR | libvirt.VIR_STREAM_EVENT_HANGUP
)
NOTHING_NOW: Final = -2
IDLE: Final = 0

HELD: Final = "another program on the host has this console, virsh console for example"

_POOL = Pool(32)
# Of their own: guests that do not read must not keep the consoles of others from being closed.
_TYPING = Pool(32)


class End(enum.Enum):
    """Why a console is over."""

    STOPPED = "the domain does not run any more"
    LOST = "libvirt was lost"
    CUT = "the domain runs, and its device has another user"


class Listener(Protocol):
    """Whom a serial console tells, on threads of libvirt's: it must not wait."""

    def output(self, data: bytes) -> None:
        """The guest has written something."""

    def written(self) -> None:
        """All that was to be typed has been."""

    def ended(self, end: End) -> None:
        """The console is over; this comes once, unless it was closed before."""


def serial_alias(session: Session, uuid: str) -> str | None:
    """libvirt's name of the serial line that can be opened; None where libvirt names none.

    Raises NoSerialDevice, or WrongState for a domain that is off.
    """
    root = _running(session, uuid)
    for device in _characters(root):
        if device.get("type") == "pty":
            alias = device.find("alias")
            return None if alias is None else alias.get("name")
    found = [f"<{device.tag} type='{device.get('type', '')}'>" for device in _characters(root)]
    has = f"it has {', '.join(found)}" if found else "it has none at all"
    raise NoSerialDevice(f"the domain needs a <serial type='pty'> or <console type='pty'>: {has}")


def _characters(root: Element) -> Iterator[Element]:
    for name in ("console", "serial"):
        yield from root.iterfind(f"devices/{name}")


def vnc_index(session: Session, uuid: str) -> int:
    """Which of the domain's displays is VNC. Raises NoVncDevice, or WrongState for a domain that is off."""
    displays = _running(session, uuid).iterfind("devices/graphics")
    types = [display.get("type", "") for display in displays]
    if "vnc" in types:
        return types.index("vnc")
    has = f"it has {', '.join(types).upper()} only" if types else "it has no display at all"
    raise NoVncDevice(f"the domain needs a <graphics type='vnc'>: {has}")


def _running(session: Session, uuid: str) -> Element:
    handle = session.connection.lookupByUUIDString(uuid)
    if not is_active(handle):
        raise WrongState("the domain is not running: it has no console")
    return domainxml.parse(handle.XMLDesc(0))


def open_vnc(session: Session, uuid: str, index: int) -> socket.socket:
    """A new connection to one of the domain's displays, which asks for no password."""
    handle = session.connection.lookupByUUIDString(uuid)
    opened = socket.socket(fileno=handle.openGraphicsFD(index, libvirt.VIR_DOMAIN_OPEN_GRAPHICS_SKIPAUTH))
    opened.setblocking(False)
    return opened


def is_running(session: Session, uuid: str) -> bool:
    """Whether the domain exists in memory."""
    return is_active(session.connection.lookupByUUIDString(uuid))


def find_end(runs: Callable[[], bool], tell: Callable[[End], None]) -> None:
    """Tell why a console ended. A guest's devices end a moment before libvirt says that it stopped."""
    _begin(partial(_look, runs, tell, time.monotonic() + SETTLE_SECONDS))


def _begin(work: Callable[[], None]) -> None:
    _POOL.submit(work)


def _look(runs: Callable[[], bool], tell: Callable[[End], None], until: float) -> None:
    try:
        running = runs()
    except NoSuchDomain:
        running = False
    except DriverError:
        tell(End.LOST)
        return
    if not running:
        tell(End.STOPPED)
    elif time.monotonic() >= until:
        tell(End.CUT)
    else:
        again = partial(_look, runs, tell, until)
        LOOP.call_later(LOOK_AGAIN_SECONDS, partial(_begin, again))


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
        """``runs`` says whether the domain does; it may wait, and raise DriverError."""
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
        _begin(partial(self._give_back, then))

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
        find_end(self._runs, self._listener.ended)

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
