"""What happened here, numbered, for all who listen: each hears the same, in the same order.

An event has the epoch and a sequence number in it. The last ones are kept, so that who lost the connection
hears what it missed; who cannot is told to list everything.
"""

from __future__ import annotations

import itertools
import json
import re
import threading
from collections import deque
from typing import TYPE_CHECKING, Final

from virshmanagerd.text import to_json
from virshmanagerd.websocket import size

if TYPE_CHECKING:
    from virshmanagerd.streams import Pipe

KEPT_EVENTS: Final = 10_000
KEPT_BYTES: Final = 8 * 1024 * 1024
# To repeat more than this is slower than to list everything.
REPLAYED_BYTES: Final = 2 * 1024 * 1024
# The largest listing that a server takes, 8 MiB, and the events beside it.
MOST_UNSENT: Final = 12 * 1024 * 1024
TOO_SLOW: Final = 1013
NUMBER: Final = re.compile("[0-9]{1,18}")


class Outbox:
    """The events of one daemon. Safe for threads; nothing here waits."""

    def __init__(self, epoch: str) -> None:
        self._lock = threading.Lock()
        self._epoch = epoch
        self._seq = 0
        self._kept: deque[str] = deque()
        self._kept_bytes = 0
        self._subscribers: dict[Pipe, None] = {}

    @property
    def epoch(self) -> str:
        """Whose sequence it is. It is another one after each reconnection to libvirt."""
        return self._epoch

    def begin(self, epoch: str) -> None:
        """Begin a new epoch: what was before it cannot be repeated."""
        with self._lock:
            self._epoch, self._seq = epoch, 0
            self._forget()
            self._publish("libvirt.up", {})
            self._publish("resync", {})

    def forget(self) -> None:
        """Repeat nothing of before."""
        with self._lock:
            self._forget()

    def publish(self, kind: str, /, *, only_in: str | None = None, **fields: object) -> None:
        """Tell all subscribers of an event, unless it belongs to an epoch that is over (``only_in``)."""
        with self._lock:
            if only_in in {None, self._epoch}:
                self._publish(kind, fields)

    def subscribe(self, pipe: Pipe, after: str, journal_id: str | None) -> None:
        """Say hello to a pipe, repeat what came after ``EPOCH:SEQ`` if that can be, and go on from there."""
        with self._lock:
            missed = self._missed(after)
            hello = {
                "type": "hello",
                "epoch": self._epoch,
                "seq": self._seq,
                "journal_id": journal_id,
                "replayed": missed is not None,
            }
            pipe.send(json.dumps(hello))
            for text in missed or ():
                pipe.send(text)
            self._subscribers[pipe] = None

    def unsubscribe(self, pipe: Pipe) -> None:
        """Tell a pipe no more."""
        with self._lock:
            self._subscribers.pop(pipe, None)

    def _publish(self, kind: str, fields: dict[str, object]) -> None:
        self._seq += 1
        text = to_json({"type": kind, "epoch": self._epoch, "seq": self._seq, **fields})
        self._keep(text)
        for pipe in list(self._subscribers):
            if not give(pipe, text):
                del self._subscribers[pipe]

    def _forget(self) -> None:
        self._kept.clear()
        self._kept_bytes = 0

    def _keep(self, text: str) -> None:
        self._kept.append(text)
        self._kept_bytes += size(text)
        while len(self._kept) > KEPT_EVENTS or self._kept_bytes > KEPT_BYTES:
            self._kept_bytes -= size(self._kept.popleft())

    def _missed(self, after: str) -> list[str] | None:
        epoch, _, number = after.partition(":")
        if epoch != self._epoch or not NUMBER.fullmatch(number):
            return None
        count = self._seq - int(number)
        if not 0 <= count <= len(self._kept):
            return None
        missed = list(itertools.islice(reversed(self._kept), count))[::-1]
        return missed if sum(map(size, missed)) <= REPLAYED_BYTES else None


def give(pipe: Pipe, text: str) -> bool:
    """Send a text to a pipe. False, and the pipe is closed, when its client does not read."""
    if pipe.unsent > MOST_UNSENT:
        pipe.close(TOO_SLOW, "the client does not read: list everything", discard=True)
        return False
    pipe.send(text)
    return True
