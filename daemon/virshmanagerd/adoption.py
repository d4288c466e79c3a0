"""Adoption by code, as far as it has come: servers that began it, and the one that proved the code."""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from virshmanagerd.attempts import MAX_SOURCES, source
from virshmanagerd.enrolment import NONCE_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from virshmanagerd.adoptcode import AdoptCode
    from virshmanagerd.enrolment import Context

START_LASTS = 60.0


@dataclass(frozen=True)
class Start:
    """What a proof must be bound to: both nonces, and the salt that was told with them."""

    server_nonce: bytes
    daemon_nonce: bytes
    salt: bytes
    until: float


@dataclass(frozen=True)
class Adoption:
    """A proof of the adopt code: its ``key`` and ``context`` are those that the end must be proven with."""

    code: AdoptCode
    key: bytes = field(repr=False)
    context: Context


class Starts:
    """The newest start of each source, for a minute and for one proof: so a guess costs two attempts."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._starts: OrderedDict[str, Start] = OrderedDict()

    def begin(self, address: str, server_nonce: bytes, salt: bytes) -> Start:
        """Remember the start of a source, in the place of its last one; the oldest of all may have to go."""
        start = Start(server_nonce, secrets.token_bytes(NONCE_BYTES), salt, self._clock() + START_LASTS)
        with self._lock:
            self._starts.pop(source(address), None)
            self._starts[source(address)] = start
            if len(self._starts) > MAX_SOURCES:
                self._starts.popitem(last=False)
        return start

    def take(self, address: str) -> Start | None:
        """Return the start of a source, this once; None when it has none, or it is too old."""
        with self._lock:
            start = self._starts.pop(source(address), None)
        return start if start and self._clock() < start.until else None
