"""Who may carry now: a dead or hung host must never keep the operations of others waiting.

A worker carries one operation of a host at a time. Hosts that are doubtful, since each may cost some
seconds, get a third of its threads at most.
"""

import threading
from enum import Enum
from typing import Final

from django.conf import settings

DOUBTFUL_SHARE: Final = 3


class Entry(Enum):
    """`BUSY`: another thread has the host's place, and will look once more. `FULL`: there is no room now."""

    TAKEN = "taken"
    BUSY = "busy"
    FULL = "full"


class Places:
    """The places of one process. Its methods may be called from any thread; none of them waits."""

    def __init__(self, doubtful: int) -> None:
        self._room = doubtful
        self._lock = threading.Lock()
        # By host: whether it is doubtful, and whether somebody else came while its place was taken.
        self._taken: dict[int, bool] = {}
        self._called: set[int] = set()

    def enter(self, host_id: int, *, doubtful: bool) -> Entry:
        """Take the place of a host."""
        with self._lock:
            if host_id in self._taken:
                self._called.add(host_id)
                return Entry.BUSY
            if doubtful and sum(self._taken.values()) >= self._room:
                return Entry.FULL
            self._taken[host_id] = doubtful
            return Entry.TAKEN

    def leave(self, host_id: int) -> bool:
        """Give the place back; return whether somebody came for this host meanwhile."""
        with self._lock:
            del self._taken[host_id]
            called = host_id in self._called
            self._called.discard(host_id)
            return called


places = Places(max(1, settings.CELERY_WORKER_CONCURRENCY // DOUBTFUL_SHARE))
