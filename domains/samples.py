"""What a daemon's `domain.stats` tells, checked, and how it is kept for the next one to be compared with.

A counter that is no whole number from 0 to 2**63 - 1 is not known, whatever else it is. Pure.
"""

import struct
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from hosts.errors import BadPayload
from hosts.payloads import MAX_DOMAINS
from hosts.untrusted import MAX_INTEGER, an_object

UNKNOWN: Final = -1
NOT_A_NUMBER: Final = float("nan")
# The year 5138: a clock may be wrong, but a time stays a time.
LATEST: Final = 1e11
MAX_LOAD: Final = 1e6


class Counters(NamedTuple):
    """Of one domain, all its disks and interfaces together. Sizes are bytes; UNKNOWN where not told."""

    cpu_time_ns: int
    vcpus: int
    memory: int
    memory_used: int
    rd_bytes: int
    wr_bytes: int
    rd_reqs: int
    wr_reqs: int
    rx_bytes: int
    tx_bytes: int
    rx_packets: int
    tx_packets: int


class HostCounters(NamedTuple):
    """Of a host. `cpu_time_ns` is what all its CPUs were busy; a load that is not told is not a number."""

    cpu_time_ns: int
    cpus: int
    memory: int
    memory_free: int
    load_1: float
    load_5: float
    load_15: float


class Told(NamedTuple):
    """One message: `at` by the daemon's clock, and its domains by the text of their UUIDs."""

    at: float
    host: HostCounters
    domains: dict[str, Counters]


class Sample(NamedTuple):
    """A message heard at `received`, by our clock, with the domains that the mirror knows, by key."""

    at: float
    received: float
    host: HostCounters
    domains: dict[int, Counters]


def read_stats(message: object) -> Told:
    """Check a `domain.stats`. Numbers that cannot be are unknown; a shape that cannot be is refused.

    Raises:
        BadPayload: when it has no time, no list of domains, or more than a host may have.
    """
    data = an_object(message, "the statistics")
    at, domains = data.get("at"), data.get("domains")
    if isinstance(at, bool) or not isinstance(at, int | float) or not 0 <= at < LATEST:
        raise BadPayload("at is no time")
    if not isinstance(domains, list) or len(domains) > MAX_DOMAINS:
        raise BadPayload(f"domains is no list of at most {MAX_DOMAINS}")
    host = data.get("host")
    return Told(float(at), _host(host if isinstance(host, dict) else {}), dict(map(_domain, domains)))


def _domain(value: object) -> tuple[str, Counters]:
    data = an_object(value, "the statistics of a domain")
    uuid = data.get("uuid")
    if not isinstance(uuid, str):
        raise BadPayload("the statistics of a domain have no uuid")
    block, net = data.get("block"), data.get("net")
    told = (
        *map(data.get, ("cpu_time_ns", "vcpus", "memory", "memory_used")),
        *map((block if isinstance(block, dict) else {}).get, ("rd_bytes", "wr_bytes", "rd_reqs", "wr_reqs")),
        *map(
            (net if isinstance(net, dict) else {}).get, ("rx_bytes", "tx_bytes", "rx_packets", "tx_packets")
        ),
    )
    return uuid, Counters(*map(_counter, told))


def _counter(value: object) -> int:
    return value if type(value) is int and 0 <= value <= MAX_INTEGER else UNKNOWN


def _host(data: Mapping[str, Any]) -> HostCounters:
    counters = map(_counter, map(data.get, ("cpu_time_ns", "cpus", "memory", "memory_free")))
    load = data.get("load")
    loads = [*(load[:3] if isinstance(load, list) else ()), None, None, None][:3]
    return HostCounters(*counters, *map(_load, loads))


def _load(value: object) -> float:
    plain = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < MAX_LOAD
    return float(value) if plain else NOT_A_NUMBER  # type: ignore[arg-type]  # a number, then


_head = struct.Struct("<dd4q3d")
_domain_record = struct.Struct("<13q")


def pack(sample: Sample) -> bytes:
    """Write a sample as bytes: 72 and 104 for each domain."""
    head = _head.pack(sample.at, sample.received, *sample.host)
    return head + b"".join(_domain_record.pack(pk, *counters) for pk, counters in sample.domains.items())


def unpack(data: bytes) -> Sample:
    """Read what `pack` wrote."""
    at, received, *host = _head.unpack_from(data)
    records = _domain_record.iter_unpack(data[_head.size :])
    domains = {pk: Counters._make(counters) for pk, *counters in records}
    return Sample(at, received, HostCounters._make(host), domains)
