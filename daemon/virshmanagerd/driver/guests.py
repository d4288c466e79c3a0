"""Calls for which libvirt asks a guest's own process, which may not answer."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from virshmanagerd.driver.calls import CallLost, Limits
from virshmanagerd.errors import QueueFull


class Guests:
    """One such call of each guest at a time, and few in all.

    From a guest that hangs a call returns after half a minute, and counts as lost meanwhile. Without a bound
    some hanging guests would end this process, and the next one, which asks for the same, as soon.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._asked: set[str] = set()
        self._changed = threading.Condition()

    @contextmanager
    def asking(self, uuid: str) -> Iterator[None]:
        """While a guest is asked; after a CallLost up to its return. Raises QueueFull."""
        with self._changed:
            if not self._changed.wait_for(partial(self._may_ask, uuid), self._limits.patience):
                raise QueueFull("guests that do not answer are being waited for")
            self._asked.add(uuid)
        try:
            yield
        except CallLost as lost:
            lost.when_returned(partial(self._returned, uuid))
            raise
        except BaseException:
            self._returned(uuid)
            raise
        self._returned(uuid)

    def _may_ask(self, uuid: str) -> bool:
        return uuid not in self._asked and len(self._asked) < self._limits.guests

    def _returned(self, uuid: str) -> None:
        with self._changed:
            self._asked.discard(uuid)
            self._changed.notify_all()
