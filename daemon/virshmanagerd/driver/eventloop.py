"""libvirt's event loop: one thread for the whole process, and timers on it.

libvirt calls back, and keeps connections alive, only while this loop runs. It
must be there before the first connection is opened. Callbacks run on its one
thread, so they do nothing that could wait.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import math
import threading
import time
from collections.abc import Callable

import libvirt

log = logging.getLogger(__name__)

DISARMED = -1


class Loop:
    """The loop's thread, and its alarm clock.

    The clock is one libvirt timer, set anew for whichever action is due next:
    the Python bindings never free what belongs to a timer that was removed.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._timer = 0
        self._due: list[tuple[float, int, Timer]] = []
        self._numbers = itertools.count()

    def ensure_running(self) -> None:
        """Start the thread, unless it runs already (a fork leaves it behind)."""
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                libvirt.registerErrorHandler(_no_print, None)
                libvirt.virEventRegisterDefaultImpl()
                self._timer = libvirt.virEventAddTimeout(DISARMED, self._ring, None)
                self._thread = threading.Thread(target=_run, name="libvirt-events", daemon=True)
                self._thread.start()

    def call_later(self, seconds: float, action: Callable[[], None]) -> Timer:
        """Call `action` once on the loop's thread after `seconds`."""
        timer = Timer(action)
        with self._lock:
            heapq.heappush(self._due, (time.monotonic() + seconds, next(self._numbers), timer))
            self._arm()
        return timer

    def _ring(self, _timer: int, _opaque: None) -> None:
        now, ready = time.monotonic(), []
        with self._lock:
            while self._due and self._due[0][0] <= now:
                ready.append(heapq.heappop(self._due)[2])
            self._arm()
        for timer in ready:
            timer.fire()

    def _arm(self) -> None:
        wait = DISARMED
        if self._due:
            wait = max(1, math.ceil(1000 * (self._due[0][0] - time.monotonic())))
        libvirt.virEventUpdateTimeout(self._timer, wait)


class Timer:
    """One action to come."""

    def __init__(self, action: Callable[[], None]) -> None:
        self._action: Callable[[], None] | None = action

    def cancel(self) -> None:
        """Forget the action. One that begins at this moment still happens."""
        self._action = None

    def fire(self) -> None:
        """Do the action, once."""
        action, self._action = self._action, None
        if action is None:
            return
        try:
            action()
        except Exception:  # others are due at the same moment: one defect must not lose them
            log.exception("a timer failed")


LOOP = Loop()


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
