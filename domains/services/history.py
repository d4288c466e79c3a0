"""Reading what was measured, from the rings and from history, as one line of points."""

import logging
import math
import time
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import groupby, pairwise
from operator import attrgetter
from typing import Final, NamedTuple

from redis.exceptions import RedisError

from .. import rings
from ..choices import SERIES, Kind
from ..models import History
from ..rings import COARSE, FINE, Ring
from ..samples import NOT_A_NUMBER
from .packing import KEYS_IN_BLOCK, find_in_block
from .rates import mean
from .rolling import HOURS, MINUTES, Resolution, Values, moment
from .sampling import look

logger = logging.getLogger(__name__)

MAX_POINTS: Final = 2000
# Somebody who asks for what is happening now, at the finest, has it measured at the finest.
NOW_SECONDS: Final = 60
# A browser asks for the last hour a moment after it began.
REACH_SLACK: Final = 1.1
# Neighbours that are further apart than so many of their periods have a gap between them.
GAP_PERIODS: Final = 2.5


class Window(NamedTuple):
    """What is asked for: from `since` (not included) to `until`, in unix seconds. `step` is in seconds."""

    since: float
    until: float
    step: int | None = None


class Point(NamedTuple):
    """The means of `period` seconds before `at`, in the order of SERIES, and the highest CPU."""

    at: int
    period: int
    values: Values


class Line(NamedTuple):
    """`points` are at least `step` seconds apart, and a point without numbers marks each gap."""

    step: int
    points: list[Point]


# From the widest to the finest, and which of them are read where one is the best: a wider one fills in where
# Redis was emptied, finer ones tell what is not rolled up yet. The rings come last.
_SOURCES: Final[Sequence[Ring | Resolution]] = (HOURS, MINUTES, COARSE, FINE)
_READ: Final = {
    HOURS: (HOURS, MINUTES, COARSE),
    MINUTES: (HOURS, MINUTES, COARSE),
    COARSE: (MINUTES, COARSE),
    FINE: (COARSE, FINE),
}


def measured(kind: Kind, pk: int, host_id: int, window: Window) -> Line:
    """Return what was measured of a domain or a host, at most MAX_POINTS and the gaps between them.

    Who asks for the last minutes is somebody who looks: its host is then measured more often. Costs at most
    two queries and one round trip to Redis for each ring.

    Without Redis it is what history has. Raises RedisError or OSError where that is nothing, and Redis may
    have something.
    """
    now = time.time()
    best = _best(now - window.since, window.step or FINE.period)
    if best is FINE and window.until >= now - NOW_SECONDS:
        look(host_id)
    period = best.period if isinstance(best, Ring) else best.seconds
    step = window.step or max(period, math.ceil((window.until - window.since) / MAX_POINTS))
    points: list[Point] = []
    for source in _READ[best]:
        try:
            finer = _read(source, kind, pk, window)
        except (RedisError, OSError) as error:
            if not points and window.until > now - COARSE.reach:
                raise
            logger.warning("Only history tells of %s %s now: %s", kind.value, pk, error)
            break
        asked = [point for point in finer if window.since < point.at <= window.until]
        points = _merged(points, asked, window.since)
    return Line(step, _with_gaps(_at_steps(points, step), step))


def _best(age: float, step: int) -> Ring | Resolution:
    """The finest source that reaches back so many seconds; what 30 seconds tell needs none of 2."""
    for source in reversed(_SOURCES):
        if age <= source.reach * REACH_SLACK and (source is not FINE or step < COARSE.period):
            return source
    return HOURS


def _read(source: Ring | Resolution, kind: Kind, pk: int, window: Window) -> list[Point]:
    return _of_ring(source, kind, pk) if isinstance(source, Ring) else _stored(source, kind, pk, window)


def _of_ring(ring: Ring, kind: Kind, pk: int) -> list[Point]:
    points = rings.read(ring, kind, [pk])[pk]
    return [Point(at, ring.period, (*values, values[0])) for at, values in sorted(points)]


def _stored(resolution: Resolution, kind: Kind, pk: int, window: Window) -> list[Point]:
    seconds = resolution.seconds
    rows = History.objects.filter(
        kind=kind,
        seconds=seconds,
        block=pk // KEYS_IN_BLOCK,
        start__gt=moment(window.since - seconds),
        start__lte=moment(window.until),
    )
    told = rows.order_by("start").values_list("start", "points")
    return [
        Point(int(start.timestamp()) + seconds, seconds, values)
        for start, points in told
        if (values := find_in_block(kind, pk, bytes(points))) is not None
    ]


def _merged(wide: list[Point], fine: list[Point], since: float) -> list[Point]:
    """Put finer points in the place of those wider ones whose time they tell about.

    Where the finer ones begin in the midst of a wider one, it tells more than what is left of them.
    """
    if fine:
        begins, slack = fine[0].at - fine[0].period, fine[0].period
        cut = (point.at for point in wide if max(point.at - point.period, since) + slack < begins < point.at)
        fine = fine[bisect_right(fine, next(cut, begins), key=attrgetter("at")) :]
    times = [point.at for point in fine]
    kept = [
        point
        for point in wide
        if bisect_right(times, point.at) == bisect_right(times, point.at - point.period)
    ]
    return sorted(kept + fine)


def _at_steps(points: Iterable[Point], step: int) -> list[Point]:
    """Put points of one step together; the point then is where the last of them was."""
    thinned = []
    for _, group in groupby(points, lambda point: math.ceil(point.at / step)):
        inside = list(group)
        values = mean([point.values for point in inside], [point.period for point in inside])
        thinned.append(Point(inside[-1].at, max(point.period for point in inside), values))
    return thinned


def _with_gaps(points: Sequence[Point], step: int) -> list[Point]:
    if not points:
        return []
    nothing = (NOT_A_NUMBER,) * len(points[0].values)
    line = [points[0]]
    for before, after in pairwise(points):
        period = max(before.period, after.period, step)
        if after.at - before.at > GAP_PERIODS * period:
            line.append(Point(before.at + period, period, nothing))
        line.append(after)
    return line


def series_of(kind: Kind) -> list[str]:
    """Return the names of a point's values, in order."""
    return [*SERIES[kind], "cpu_max"]
