"""The consoles of one host's domains: serial lines and screens.

The modules: `room` (who writes, who looks on), `serial` and `vnc` (what they are joined to), `rfb` (what
who only looks on may say to a screen).
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Protocol

from virshmanagerd.consoles.room import Mode
from virshmanagerd.consoles.serial import Hub, SerialSource, SerialViewer
from virshmanagerd.consoles.vnc import Rooms, ScreenSource, VncViewer
from virshmanagerd.driver import canonical
from virshmanagerd.errors import QueueFull

if TYPE_CHECKING:
    from collections.abc import Iterator

    from virshmanagerd.streams import Stream

__all__ = ["Consoles", "Mode"]

# Who opens the screen of a guest that hangs waits up to a minute, on a thread that other requests need.
MOST_OPENING: Final = 12
MOST_OPENING_ONE: Final = 6


class Source(SerialSource, ScreenSource, Protocol):
    """What opens consoles (``driver.Driver``)."""


class Consoles:
    """All consoles of one daemon. Its methods may be called from any thread, and wait for libvirt."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._rooms = Rooms()
        self._lock = threading.Lock()
        self._hubs: dict[str, Hub] = {}
        self._opening: list[str] = []  # the domains, once for each who waits

    def serial(self, uuid: str, mode: Mode) -> Stream:
        """Open a domain's serial console, or come to it as one more.

        Raises:
            DriverError: NoSuchDomain, WrongState, NoSerialDevice, ConsoleBusy, Unavailable.
        """
        uuid = canonical(uuid)
        with self._waiting(uuid):
            while True:
                hub = self._hub(uuid)
                if hub.open(take=mode is Mode.TAKE):
                    return SerialViewer(hub, mode)
                # It ended just now; another one takes its place.

    def vnc(self, uuid: str, mode: Mode) -> Stream:
        """Open a new connection to a domain's screen.

        Raises:
            DriverError: NoSuchDomain, WrongState, NoVncDevice, Unavailable.
        """
        uuid = canonical(uuid)
        with self._waiting(uuid):
            return VncViewer(uuid, self._source, self._rooms, mode)

    @contextmanager
    def _waiting(self, uuid: str) -> Iterator[None]:
        with self._lock:
            of_one = self._opening.count(uuid)
            if of_one >= MOST_OPENING_ONE or len(self._opening) >= MOST_OPENING:
                raise QueueFull("too many wait for consoles that do not open")
            self._opening.append(uuid)
        try:
            yield
        finally:
            with self._lock:
                self._opening.remove(uuid)

    def _hub(self, uuid: str) -> Hub:
        with self._lock:
            hub = self._hubs.get(uuid)
            if hub is None:
                hub = self._hubs[uuid] = Hub(uuid, self._source, self._forget)
            return hub

    def _forget(self, hub: Hub) -> None:
        with self._lock:
            if self._hubs.get(hub.uuid) is hub:
                del self._hubs[hub.uuid]
