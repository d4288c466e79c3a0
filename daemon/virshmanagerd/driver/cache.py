"""What was read from domain XML, kept until an event says that it changed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Set

from virshmanagerd.domainxml import Summary


class SummaryCache:
    """Summaries by domain UUID. Safe for threads."""

    def __init__(self) -> None:
        self._known: dict[str, Summary] = {}
        self._reading: dict[str, object] = {}
        self._lock = threading.Lock()

    def get(self, uuid: str, read: Callable[[], Summary]) -> Summary:
        """The summary of a domain, read when it is not known."""
        token = object()
        with self._lock:
            if (known := self._known.get(uuid)) is not None:
                return known
            self._reading[uuid] = token
        try:
            summary = read()
        except BaseException:
            self.forget(uuid)
            raise
        with self._lock:
            # An event during the reading may have made this text old: then it is not kept.
            if self._reading.get(uuid) is token:
                del self._reading[uuid]
                self._known[uuid] = summary
        return summary

    def forget(self, uuid: str) -> None:
        """Read this domain again at the next `get`."""
        with self._lock:
            self._known.pop(uuid, None)
            self._reading.pop(uuid, None)

    def keep(self, uuids: Set[str]) -> None:
        """Forget all domains but these."""
        with self._lock:
            for uuid in self._known.keys() - uuids:
                del self._known[uuid]
