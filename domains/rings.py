"""The last hour, in Redis: rings of points, the last counters of each host, and which hosts are looked at.

A ring is a list of packed points under one key, for each domain and each host. It is cut at every write and
forgotten when nothing is written for as long as it reaches, so it cannot grow beyond its points. Redis may be
emptied: what is missing then is a gap. All of this raises RedisError or OSError when Redis does not answer.
"""

import struct
import time
from collections.abc import Collection, Sequence
from typing import Final, NamedTuple

from django_redis import get_redis_connection

from .choices import SERIES, Kind
from .samples import Sample, pack, unpack

PREFIX: Final = "virshmanager:metrics"
LOOKED_KEY: Final = f"{PREFIX}:looked"
LOOK_SECONDS: Final = 10
# A host that tells nothing for so long has no last counters any more.
COUNTERS_SECONDS: Final = 120
# The last items of each list, joined.
JOIN: Final = """
local found = {}
for place, key in ipairs(KEYS) do found[place] = table.concat(redis.call('LRANGE', key, ARGV[1], -1)) end
return found
"""


class Ring(NamedTuple):
    """`period` is in seconds; `points` is the most that it holds."""

    name: str
    period: int
    points: int

    @property
    def reach(self) -> int:
        """How many seconds it holds."""
        return self.period * self.points


COARSE: Final = Ring("coarse", 30, 120)
FINE: Final = Ring("fine", 2, 150)


class RingPoint(NamedTuple):
    """Means of the time before `at` (unix seconds). `values` are in the order of SERIES; NaN is a gap."""

    at: int
    values: tuple[float, ...]


_points: Final = {kind: struct.Struct(f"<I{len(SERIES[kind])}f") for kind in Kind}


def _ring_key(ring: Ring, kind: Kind, pk: int) -> str:
    return f"{PREFIX}:{ring.name}:{kind.value}:{pk}"


def _counters_key(ring: Ring, host_id: int) -> str:
    return f"{PREFIX}:counters:{ring.name}:{host_id}"


def last_samples(host_id: int) -> tuple[Sample | None, Sample | None]:
    """Return the samples at which the last point of the coarse and of the fine ring ended."""
    keys = [_counters_key(ring, host_id) for ring in (COARSE, FINE)]
    coarse, fine = get_redis_connection().mget(keys)
    return (unpack(coarse) if coarse else None, unpack(fine) if fine else None)


def host_samples(host_ids: Sequence[int]) -> list[Sample]:
    """Return the last sample of each of these hosts that has one, at most COUNTERS_SECONDS old."""
    if not host_ids:
        return []
    found = get_redis_connection().mget([_counters_key(COARSE, host_id) for host_id in host_ids])
    return [unpack(data) for data in found if data]


class Writer:
    """Collects what one message adds to the rings, and writes it in one round trip."""

    def __init__(self, host_id: int) -> None:
        self._host_id = host_id
        self._pipeline = get_redis_connection().pipeline(transaction=False)

    def add(self, ring: Ring, kind: Kind, pk: int, point: RingPoint) -> None:
        key = _ring_key(ring, kind, pk)
        self._pipeline.rpush(key, _points[kind].pack(point.at, *point.values))
        self._pipeline.ltrim(key, -ring.points, -1)
        self._pipeline.expire(key, ring.reach)

    def keep(self, ring: Ring, sample: Sample) -> None:
        """Let the next point of this ring begin at `sample`."""
        self._pipeline.set(_counters_key(ring, self._host_id), pack(sample), ex=COUNTERS_SECONDS)

    def write(self) -> None:
        self._pipeline.execute()


def read(ring: Ring, kind: Kind, pks: Collection[int], last: int = 0) -> dict[int, list[RingPoint]]:
    """Return the points of each key, the oldest first, in one round trip. `last`: only so many of each."""
    unpacked = _points[kind].iter_unpack
    found = zip(pks, _joined(ring, kind, pks, last), strict=True)
    return {pk: [RingPoint(point[0], point[1:]) for point in unpacked(data)] for pk, data in found}


def _joined(ring: Ring, kind: Kind, pks: Collection[int], last: int) -> list[bytes]:
    """The packed points of each key in one piece. Redis joins them: to parse each for itself costs more."""
    if not pks:
        return []
    keys = [_ring_key(ring, kind, pk) for pk in pks]
    found: list[bytes] = get_redis_connection().eval(JOIN, len(keys), *keys, -last)
    return found


def look(host_id: int) -> None:
    """Note that somebody looks at this host, or at a domain of it, for the next LOOK_SECONDS."""
    now = time.time()
    with get_redis_connection().pipeline(transaction=False) as pipeline:
        pipeline.zadd(LOOKED_KEY, {str(host_id): now + LOOK_SECONDS})
        pipeline.zremrangebyscore(LOOKED_KEY, "-inf", now)
        pipeline.expire(LOOKED_KEY, LOOK_SECONDS)
        pipeline.execute()


def looked_at() -> set[int]:
    """Return the hosts that somebody looks at."""
    return {int(pk) for pk in get_redis_connection().zrangebyscore(LOOKED_KEY, time.time(), "+inf")}
