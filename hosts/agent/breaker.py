"""A circuit breaker: after some failures in a row, spare a host that does not answer."""

import threading
import time
from collections.abc import Callable
from typing import Final

FAILURES: Final = 3
FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 30.0


class Breaker:
    """Closed while calls succeed; open after three failures in a row; half-open after a pause.

    Half-open lets one call try. Its failure doubles the pause, from 1 s up to 30 s; any success closes the
    breaker. Each process has its own: a host that is down costs each of them three attempts.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._pause = FIRST_PAUSE
        self._retry_at = 0.0

    def allows(self) -> bool:
        """Whether a call may try now. A yes while half-open is given once for each pause."""
        with self._lock:
            if self._failures < FAILURES:
                return True
            now = self._clock()
            if now < self._retry_at:
                return False
            self._retry_at = now + self._pause
            return True

    @property
    def calm(self) -> bool:
        """Whether the last call succeeded, as far as this process knows."""
        return not self._failures

    def succeeded(self) -> None:
        with self._lock:
            self._failures = 0
            self._pause = FIRST_PAUSE

    def failed(self) -> None:
        with self._lock:
            self._failures += 1
            if self._failures > FAILURES:
                self._pause = min(2 * self._pause, LONGEST_PAUSE)
            if self._failures >= FAILURES:
                self._retry_at = self._clock() + self._pause
