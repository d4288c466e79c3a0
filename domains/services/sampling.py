"""Keeping what daemons measure, and how often they are asked to."""

import logging
import time
from collections.abc import Collection, Sequence
from typing import Final

from redis.exceptions import RedisError

from hosts.models import Host

from .. import rings
from ..choices import Kind
from ..models import Domain
from ..rings import COARSE, FINE, Ring, RingPoint, Writer
from ..samples import Counters, Sample, Told, read_stats
from .rates import SHORTEST_SECONDS, domain_values, host_values, seconds_between

logger = logging.getLogger(__name__)

# Daemons are not punctual to the second: a little before the period is up it counts as up.
COARSE_FROM_SECONDS: Final = 0.9 * COARSE.period
HOSTS_AT_ONCE: Final = 200


def record_stats(host: Host, message: object) -> int:
    """Put what a `domain.stats` of `host` tells into the rings, and return of how many domains.

    Reads the keys of the host's domains with one query; domains that the mirror does not know are left out. A
    Redis that does not answer is logged: a missing point harms nothing.

    Raises:
        BadPayload: when the message is not as the contract says.
    """
    told = read_stats(message)
    try:
        return _record(host.pk, told, time.time())
    except (RedisError, OSError) as error:
        logger.warning("What %s measured is not kept: %s", host, error)
        return 0


def _record(host_id: int, told: Told, now: float) -> int:
    coarse, fine = rings.last_samples(host_id)
    newest = max(filter(None, (coarse, fine)), key=lambda sample: sample.received, default=None)
    # A daemon that talks without a pause is not listened to.
    if newest and 0 <= now - newest.received < SHORTEST_SECONDS:
        return 0
    sample = Sample(told.at, now, told.host, _of_known_domains(host_id, told))
    writer = Writer(host_id)
    if coarse is None or not 0 <= now - coarse.received < COARSE_FROM_SECONDS:
        _add(writer, COARSE, host_id, coarse, sample)
    # One that is asked every 30 seconds has no points of 2.
    if newest and now - newest.received < COARSE_FROM_SECONDS:
        _add(writer, FINE, host_id, newest, sample)
    writer.write()
    return len(sample.domains)


def _of_known_domains(host_id: int, told: Told) -> dict[int, Counters]:
    rows = Domain.objects.filter(host_id=host_id).order_by().values_list("pk", "uuid")
    return {pk: told.domains[text] for pk, uuid in rows if (text := str(uuid)) in told.domains}


def _add(writer: Writer, ring: Ring, host_id: int, before: Sample | None, after: Sample) -> None:
    """Add the means from one sample to the next, of the host and of each of its domains."""
    seconds = seconds_between(before, after) if before else None
    at = int(after.received)
    values = host_values(before.host if before else None, after.host, seconds)
    writer.add(ring, Kind.HOST, host_id, RingPoint(at, values))
    earlier = before.domains if before else {}
    for pk, counters in after.domains.items():
        point = RingPoint(at, domain_values(earlier.get(pk), counters, seconds))
        writer.add(ring, Kind.DOMAIN, pk, point)
    writer.keep(ring, after)


def look(host_id: int) -> None:
    """Have this host measured every 2 seconds for a while: somebody looks. Never fails."""
    try:
        rings.look(host_id)
    except (RedisError, OSError) as error:
        logger.warning("Host %s is not measured more often now: %s", host_id, error)


def stats_period(host_ids: Collection[int]) -> dict[int, int]:
    """Return every how many seconds each host is to tell its statistics: often while somebody looks at it."""
    try:
        looked_at = rings.looked_at()
    except (RedisError, OSError) as error:
        logger.warning("It cannot be told who looks at hosts: %s", error)
        looked_at = set()
    return {pk: FINE.period if pk in looked_at else COARSE.period for pk in host_ids}


def last_counters(host_ids: Sequence[int]) -> dict[int, Counters]:
    """Return what each domain of these hosts had counted last, at most two minutes ago, by its key."""
    counters: dict[int, Counters] = {}
    try:
        for first in range(0, len(host_ids), HOSTS_AT_ONCE):
            for sample in rings.host_samples(host_ids[first : first + HOSTS_AT_ONCE]):
                counters |= sample.domains
    except (RedisError, OSError) as error:
        logger.warning("What domains counted cannot be read: %s", error)
    return counters
