"""One connection to libvirt, from its opening to its end."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

import libvirt

from virshmanagerd.driver.cache import SummaryCache

# A libvirtd that does not answer for half a minute is given up. The interval is short because
# libvirt before 10.1 can forget to wake the thread that sends for all while one call is
# waiting: the next message, such as this one, sends what lies there.
KEEPALIVE = (2, 14)

# Not every hypervisor tells of these.
TELLING = (libvirt.VIR_DOMAIN_EVENT_ID_REBOOT, libvirt.VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE)


class Hearer(Protocol):
    """Who is told what happens, on the event loop's thread. It must not wait."""

    def up(self, session: Session) -> None:
        """The session is the one in use."""

    def left(self) -> None:
        """It is not, any more; there may be another soon."""

    def down(self, reason: str) -> None:
        """There is none to be had."""

    def lifecycle(self, session: Session, uuid: str, event: int, detail: int) -> None:
        """As virConnectDomainEventCallback has it."""

    def changed(self, session: Session, uuid: str) -> None:
        """Something about a domain changed."""

    def ballooned(self, session: Session, uuid: str) -> None:
        """The size of a domain's memory changed."""


class Constants:
    """What never changes while a libvirtd runs; None until it is known."""

    def __init__(self) -> None:
        self.host_uuid: str | None = None
        self.hypervisor_version: str | None = None
        self.learning = threading.Lock()  # held by the one call that asks


class Session:
    """An open connection, and what is true only as long as it lives.

    Python's reference count closes the connection: an explicit close would pull
    it from under a call that still runs in another thread.
    """

    def __init__(
        self,
        connection: libvirt.virConnect,
        constants: Constants,
        on_close: Callable[[Session], None],
        hearer: Hearer | None = None,
    ) -> None:
        self.connection = connection
        self.constants = constants
        self.epoch = str(uuid.uuid4())
        self.summaries = SummaryCache()
        self.ended = False
        self.nowait = True  # whether libvirt can pass over a domain that is busy
        self._on_close = on_close
        self._hearer = hearer
        self._callbacks: list[int] = []
        self._began: list[float] = []  # the changes that libvirt is at work on

    @classmethod
    def open(
        cls,
        uri: str,
        constants: Constants,
        on_close: Callable[[Session], None],
        hearer: Hearer | None,
    ) -> Session:
        """Connect; `on_close` is called on the event loop's thread. Blocks without limit.

        One of a host's connections has a `hearer` of what happens there; the others need not hear it too.

        Raises libvirt.libvirtError.
        """
        session = cls(libvirt.open(uri), constants, on_close, hearer)
        try:
            session._watch()
        except libvirt.libvirtError:
            session.retire()
            raise
        return session

    def is_alive(self) -> bool:
        """Whether the line to libvirt still stands. Asks nobody."""
        try:
            return bool(self.connection.isAlive())
        except libvirt.libvirtError:
            return False

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """While libvirt is at work on a change; see `is_occupied`."""
        began = time.monotonic()
        self._began.append(began)
        try:
            yield
        finally:
            self._began.remove(began)

    def is_occupied(self, seconds: float = 0) -> bool:
        """Whether a change has been at work for so long: other calls may be left unsent (see KEEPALIVE)."""
        began = tuple(self._began)  # at once: others come and go
        return bool(began) and time.monotonic() - min(began) >= seconds

    def retire(self) -> None:
        """Let go of libvirt's callbacks, which else keep the connection for ever. May block."""
        for callback in self._callbacks:
            _if_possible(self.connection.domainEventDeregisterAny, callback)
        self._callbacks.clear()
        _if_possible(self.connection.unregisterCloseCallback)

    def _watch(self) -> None:
        # A driver inside this process has no line that could break, and refuses keepalive.
        if _if_possible(self.connection.setKeepAlive, *KEEPALIVE):
            _if_possible(self.connection.registerCloseCallback, self._closed, None)
        if self._hearer:
            self._register(libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, self._lifecycle)
            self._register(libvirt.VIR_DOMAIN_EVENT_ID_METADATA_CHANGE, self._changed)
            for event in TELLING:
                _if_possible(self._register, event, self._changed)
            _if_possible(self._register, libvirt.VIR_DOMAIN_EVENT_ID_BALLOON_CHANGE, self._ballooned)

    def _register(self, event: int, callback: Callable[..., None]) -> None:
        self._callbacks.append(self.connection.domainEventRegisterAny(None, event, callback, None))

    def _lifecycle(
        self, _connection: object, domain: libvirt.virDomain, event: int, detail: int, _: None
    ) -> None:
        uuid = domain.UUIDString()
        self.summaries.forget(uuid)
        if self._hearer:
            self._hearer.lifecycle(self, uuid, event, detail)

    def _changed(self, _connection: object, domain: libvirt.virDomain, *_details: object) -> None:
        uuid = domain.UUIDString()
        self.summaries.forget(uuid)
        if self._hearer:
            self._hearer.changed(self, uuid)

    def _ballooned(self, _connection: object, domain: libvirt.virDomain, *_details: object) -> None:
        if self._hearer:
            self._hearer.ballooned(self, domain.UUIDString())

    def _closed(self, _connection: object, _reason: int, _opaque: None) -> None:
        self.ended = True
        self._on_close(self)


def _if_possible(function: Callable[..., object], *arguments: object) -> bool:
    try:
        function(*arguments)
    except libvirt.libvirtError:
        return False  # not supported by this driver, or the connection is gone already
    return True
