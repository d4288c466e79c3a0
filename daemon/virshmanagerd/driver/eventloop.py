"""libvirt's event loop: one thread for the whole process, and timers on it.

libvirt calls back, and keeps connections alive, only while this loop runs. It
must be there before the first connection is opened. Callbacks run on its one
thread, so they do nothing that could wait.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

import libvirt

log = logging.getLogger(__name__)

_starting = threading.Lock()
_thread: threading.Thread | None = None


def ensure_running() -> None:
    """Start the loop, unless it runs already."""
    global _thread  # noqa: PLW0603 - libvirt has one event loop per process
    with _starting:
        if _thread is None or not _thread.is_alive():
            libvirt.registerErrorHandler(_no_print, None)
            libvirt.virEventRegisterDefaultImpl()
            _thread = threading.Thread(target=_run, name="libvirt-events", daemon=True)
            _thread.start()


class Timer:
    """Calls `action` once on the loop's thread after `seconds`, unless cancelled."""

    def __init__(self, seconds: float, action: Callable[[], None]) -> None:
        self._action = action
        self._pending = True
        self._lock = threading.Lock()
        self._id: int = libvirt.virEventAddTimeout(int(seconds * 1000), self._fire, None)

    def cancel(self) -> None:
        """Forget the action; no harm when it has run."""
        self._end(self._id)

    def _fire(self, timer_id: int, _opaque: None) -> None:
        if self._end(timer_id):
            self._action()

    def _end(self, timer_id: int) -> bool:
        with self._lock:
            pending, self._pending = self._pending, False
            if pending:
                libvirt.virEventRemoveTimeout(timer_id)
        return pending


def _no_print(_context: None, _error: object) -> None:
    """libvirt prints every error to stderr by default; each also arrives as an exception."""


def _run() -> None:
    while True:
        _run_once()


def _run_once() -> None:
    try:
        libvirt.virEventRunDefaultImpl()
    except libvirt.libvirtError as error:
        log.error("libvirt's event loop failed: %s", error)
        time.sleep(1)  # a lasting failure must not become a busy loop
