"""One connection to libvirt, from its opening to its end."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import libvirt

from virshmanagerd.driver.cache import SummaryCache

# 5 seconds, 5 times: a hypervisor that does not answer is given up after half a minute.
KEEPALIVE = (5, 5)

INVALIDATING = (
    libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE,
    libvirt.VIR_DOMAIN_EVENT_ID_METADATA_CHANGE,
)


class Session:
    """An open connection, and what is true only as long as it lives.

    Python's reference count closes the connection: an explicit close would pull
    it from under a call that still runs in another thread.
    """

    def __init__(self, connection: libvirt.virConnect, on_close: Callable[[Session], None]) -> None:
        self.connection = connection
        self.epoch = str(uuid.uuid4())
        self.summaries = SummaryCache()
        self.lost = 0  # calls on it that never returned
        self.ended = False
        self.host_uuid: str | None = None  # "" when libvirt does not say
        self.nowait = True  # whether libvirt can pass over a domain that is busy
        self._on_close = on_close
        self._callbacks: list[int] = []

    @classmethod
    def open(cls, uri: str, on_close: Callable[[Session], None]) -> Session:
        """Connect; `on_close` is called on the event loop's thread. Blocks without limit.

        Raises libvirt.libvirtError.
        """
        session = cls(libvirt.open(uri), on_close)
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
        for event in INVALIDATING:
            self._callbacks.append(self.connection.domainEventRegisterAny(None, event, self._changed, None))

    def _changed(self, _connection: object, domain: libvirt.virDomain, *_details: object) -> None:
        self.summaries.forget(domain.UUIDString())

    def _closed(self, _connection: object, _reason: int, _opaque: None) -> None:
        self.ended = True
        self._on_close(self)


def _if_possible(function: Callable[..., object], *arguments: object) -> bool:
    try:
        function(*arguments)
    except libvirt.libvirtError:
        return False  # not supported by this driver, or the connection is gone already
    return True
