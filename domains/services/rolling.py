"""Rolling the rings up into history: means of 5 minutes for a day, and of an hour for 30 days.

Each time is written once, for all, in one transaction: what runs twice, or in two workers at once, changes
nothing. After a pause it catches up as far back as the rings reach. Times here are unix seconds.
"""

import math
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import groupby
from operator import attrgetter
from typing import Final, NamedTuple

from django.db import transaction
from django.db.models import Max, Min

from hosts.models import Host

from .. import rings
from ..choices import Kind
from ..models import Domain, History
from ..rings import COARSE, RingPoint
from .packing import KEYS_IN_BLOCK, pack_block, unpack_block
from .rates import mean

MINUTE: Final = 60
HOUR: Final = 3600
DAY: Final = 24 * HOUR


class Resolution(NamedTuple):
    """`seconds` of each mean, and for how many seconds they are kept."""

    seconds: int
    reach: int


MINUTES: Final = Resolution(5 * MINUTE, DAY)
HOURS: Final = Resolution(HOUR, 30 * DAY)
# A message that is under way when its time ends still counts.
SETTLE_SECONDS: Final = 10
RINGS_AT_ONCE: Final = 64 * KEYS_IN_BLOCK
ROWS_PER_STATEMENT: Final = 500

Values = tuple[float, ...]


def roll_up(now: float | None = None) -> None:
    """Write the means of the times that ended, and forget what is too old. Raises RedisError."""
    now = time.time() if now is None else now
    _roll_minutes(now)
    _roll_hours(now)
    for resolution in (MINUTES, HOURS):
        # One more is kept than can be asked for: the first is cut by the beginning of what is asked.
        oldest = moment(now - resolution.reach - resolution.seconds)
        History.objects.filter(seconds=resolution.seconds, start__lt=oldest).delete()


def moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _starts(resolution: Resolution, since: float, now: float) -> range:
    """The times that ended, and are neither written yet nor before `since`."""
    step = resolution.seconds
    written = History.objects.filter(seconds=step, start__lte=moment(now)).aggregate(last=Max("start"))[
        "last"
    ]
    first = math.ceil(since / step) * step
    if written is not None:
        first = max(first, int(written.timestamp()) + step)
    return range(first, math.floor((now - SETTLE_SECONDS) / step) * step, step)


def _roll_minutes(now: float) -> None:
    starts = _starts(MINUTES, now - COARSE.reach, now)
    if not starts:
        return
    keys = {Kind.DOMAIN: Domain.objects.order_by("pk"), Kind.HOST: Host.objects.owned().order_by("pk")}
    rows: list[History] = []
    for kind, found in keys.items():
        for pks in _in_blocks(found.values_list("pk", flat=True)):
            rows += _rows_of_rings(kind, pks, starts, now)
    _write(rows)


def _in_blocks(pks: Iterable[int]) -> Iterator[list[int]]:
    """Cut sorted keys into lists, and never within a block."""
    for _, part in groupby(pks, lambda pk: pk // RINGS_AT_ONCE):
        yield list(part)


def _rows_of_rings(kind: Kind, pks: Sequence[int], starts: range, now: float) -> Iterator[History]:
    found: dict[tuple[int, int], dict[int, Values]] = defaultdict(dict)
    # What is older than the first time is not needed, and most often that is nearly all of a ring.
    last = min(COARSE.points, math.ceil(2 * (now - starts[0]) / COARSE.period))
    for pk, points in rings.read(COARSE, kind, pks, last).items():
        for start, inside in _by_start(points, starts).items():
            found[pk // KEYS_IN_BLOCK, start][pk] = mean(inside)
    for (block, start), values in found.items():
        yield _row(kind, MINUTES, block, start, values)


def _by_start(points: Iterable[RingPoint], starts: range) -> dict[int, list[Values]]:
    """Sort points into their times, with their CPU once more as the highest one."""
    inside: dict[int, list[Values]] = defaultdict(list)
    for at, values in points:
        start = (math.ceil(at / MINUTES.seconds) - 1) * MINUTES.seconds
        if start in starts:
            inside[start].append((*values, values[0]))
    return inside


def _roll_hours(now: float) -> None:
    oldest = History.objects.filter(seconds=MINUTES.seconds).aggregate(first=Min("start"))["first"]
    if oldest is None:
        return
    rows: list[History] = []
    for start in _starts(HOURS, int(oldest.timestamp()) // HOUR * HOUR, now):
        for kind in Kind:
            rows += _rows_of_hour(kind, start)
    _write(rows)


def _rows_of_hour(kind: Kind, start: int) -> Iterator[History]:
    minutes = History.objects.filter(
        kind=kind, seconds=MINUTES.seconds, start__gte=moment(start), start__lt=moment(start + HOUR)
    )
    for block, rows in groupby(minutes.order_by("block").iterator(), attrgetter("block")):
        values: dict[int, list[Values]] = defaultdict(list)
        for row in rows:
            for pk, numbers in unpack_block(kind, block, bytes(row.points)):
                values[pk].append(numbers)
        yield _row(kind, HOURS, block, start, {pk: mean(numbers) for pk, numbers in values.items()})


def _row(kind: Kind, resolution: Resolution, block: int, start: int, values: dict[int, Values]) -> History:
    return History(
        kind=kind,
        seconds=resolution.seconds,
        block=block,
        start=moment(start),
        points=pack_block(kind, values),
    )


def _write(rows: Sequence[History]) -> None:
    with transaction.atomic():
        # Another worker may have written the same just now.
        History.objects.bulk_create(rows, batch_size=ROWS_PER_STATEMENT, ignore_conflicts=True)
