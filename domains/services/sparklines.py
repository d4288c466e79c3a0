"""The CPU of the last minutes, of all domains of a table at once."""

import logging
import math
import time
from collections.abc import Collection
from typing import Final

from redis.exceptions import RedisError

from .. import rings
from ..choices import Kind
from ..rings import COARSE

logger = logging.getLogger(__name__)

POINTS: Final = 30


def sparklines(domain_pks: Collection[int]) -> dict[int, list[float | None]]:
    """Return the CPU, per cent, of the last 15 minutes: 30 places in time, None where nothing was measured.

    One round trip to Redis for all, no query. Without Redis there are no lines, and a table is shown without.
    """
    first = time.time() - POINTS * COARSE.period
    try:
        found = rings.read(COARSE, Kind.DOMAIN, domain_pks, POINTS)
    except (RedisError, OSError) as error:
        logger.warning("No sparklines now: %s", error)
        return {}
    lines: dict[int, list[float | None]] = {}
    for pk, points in found.items():
        places: list[float | None] = [None] * POINTS
        for at, values in points:
            place = math.ceil((at - first) / COARSE.period) - 1
            if 0 <= place < POINTS and not math.isnan(values[0]):
                places[place] = values[0]
        if points:
            lines[pk] = places
    return lines
