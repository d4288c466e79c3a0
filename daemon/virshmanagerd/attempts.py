"""How often one source may try something: a token bucket per address, never a global one."""

from __future__ import annotations

import ipaddress
import math
import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_SOURCES = 4096
IPV6_PREFIX = 64


def source(address: str) -> str:
    """Return what counts as one source: an IPv4 address, or the /64 around an IPv6 address."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, IPV6_PREFIX), strict=False))


class Attempts:
    """``burst`` attempts at once, then one every ``every`` seconds, for each source."""

    def __init__(self, burst: int, every: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._burst = burst
        self._every = every
        self._clock = clock
        self._lock = threading.Lock()
        # For each source, the moment at which its bucket will be full again; the oldest is first.
        self._full_at: OrderedDict[str, float] = OrderedDict()

    def wait(self, address: str) -> int:
        """Count one attempt. Return 0 when it may go on, else the seconds to wait before the next."""
        name = source(address)
        with self._lock:
            now = self._clock()
            full_at = max(self._full_at.pop(name, now), now) + self._every
            excess = full_at - now - self._burst * self._every
            # A refused attempt costs nothing: who waits as told is let in.
            self._full_at[name] = full_at - self._every if excess > 0 else full_at
            if len(self._full_at) > MAX_SOURCES:
                self._full_at.popitem(last=False)
        return max(0, math.ceil(excess))
