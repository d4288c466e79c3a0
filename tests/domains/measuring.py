"""Messages of a daemon that measures, and a clock for them."""

from collections.abc import Iterable
from typing import Any

import pytest

from domains.models import Domain
from domains.services import record_stats
from hosts.models import Host

SECOND = 10**9
Message = dict[str, Any]


class Clock:
    """The time that our processes see. It stands still until it is moved."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, now: float) -> None:
        self.now = now
        monkeypatch.setattr("time.time", lambda: self.now)

    def move(self, seconds: float) -> None:
        self.now += seconds


def stats(domain: Domain, seconds: float = 0, **changed: Any) -> Message:
    """What a domain has counted after it ran `seconds`: half of one of its two CPUs, and steady traffic."""
    whole = int(seconds)
    told: Message = {
        "uuid": str(domain.uuid),
        "cpu_time_ns": int(seconds * SECOND),
        "vcpus": 2,
        "memory": 2**30,
        "memory_used": 2**29,
        "block": {
            "rd_bytes": 1000 * whole,
            "wr_bytes": 2000 * whole,
            "rd_reqs": 10 * whole,
            "wr_reqs": 20 * whole,
        },
        "net": {
            "rx_bytes": 300 * whole,
            "tx_bytes": 400 * whole,
            "rx_packets": 3 * whole,
            "tx_packets": 4 * whole,
        },
    }
    return told | changed


def message(at: float, domains: Iterable[Message] = (), **host: Any) -> Message:
    told = {
        "cpu_time_ns": int(2 * at) * SECOND,
        "cpus": 8,
        "memory": 2**34,
        "memory_free": 2**33,
        "load": [1.0, 2.0, 3.0],
    }
    return {"type": "domain.stats", "at": at, "domains": list(domains), "host": told | host}


def measure(clock: Clock, host: Host, domains: Iterable[Domain], *, seconds: int, period: int = 30) -> None:
    """Let a host tell its domains' statistics for so long, each running at half of its CPUs."""
    domains = list(domains)
    for _ in range(seconds // period):
        clock.move(period)
        record_stats(host, message(clock.now, [stats(domain, clock.now) for domain in domains]))
