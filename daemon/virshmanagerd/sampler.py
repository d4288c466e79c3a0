"""Statistics for who asked to be told them, over and over: one sample serves all who wait for one."""

from __future__ import annotations

import json
import logging
import random
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from virshmanagerd import linux
from virshmanagerd.errors import DriverError
from virshmanagerd.lane import Lane

if TYPE_CHECKING:
    from virshmanagerd.driver import Driver

logger = logging.getLogger(__name__)

Reader = Callable[[str], None]

# Of the process: many daemons share it, and one whose libvirt hangs occupies one thread.
LANE: Final = Lane("sample", threads=4, backlog=1024)
LONGEST_PERIOD: Final = 300
SOON: Final = 0.5


class Sampler:
    """The samples of one daemon: never two at a time."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._lock = threading.Lock()
        self._waiting: list[Reader] = []
        self._busy = False
        # Many hosts that are asked by one server do not all answer at the same moment.
        self._offset = random.uniform(0, LONGEST_PERIOD)  # noqa: S311 - no secret

    def request(self, reader: Reader) -> None:
        """Call a reader with the next sample as JSON, or not at all while libvirt does not answer.

        It is called on another thread, and must not wait.
        """
        with self._lock:
            self._waiting.append(reader)
            if self._busy:
                return
            self._busy = True
        if not LANE.submit(self._work):
            self._finish()

    def delay(self, period: int) -> float:
        """Seconds until the next sample of a period: readers of one period wait for the same moments."""
        left = period - (time.monotonic() + self._offset) % period
        return left if left > SOON else left + period

    def _work(self) -> None:
        try:
            text = json.dumps(self._sample())
        except DriverError:
            self._finish()
            return
        except Exception:
            logger.exception("a sample failed")  # a defect must not end all samples that are to come
            self._finish()
            return
        for reader in self._finish():
            reader(text)

    def _finish(self) -> list[Reader]:
        with self._lock:
            self._busy = False
            waiting, self._waiting = self._waiting, []
            return waiting

    def _sample(self) -> dict[str, object]:
        domains = self._driver.samples()
        memory, memory_free = linux.memory()
        host = {
            "cpu_time_ns": linux.cpu_time_ns(),
            "cpus": linux.cpus(),
            "memory": memory,
            "memory_free": memory_free,
            "load": linux.load(),
        }
        return {"type": "domain.stats", "at": time.time(), "domains": domains, "host": host}
