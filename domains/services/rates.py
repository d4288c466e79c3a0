"""From counters to rates: pure. A counter that went back was reset, and what cannot be told is a gap."""

import math
from collections.abc import Sequence
from typing import Final

from ..samples import NOT_A_NUMBER, UNKNOWN, Counters, HostCounters, Sample

NANOSECONDS: Final = 1e9
# Three periods of the slow ring: what lies between samples further apart is nobody's mean any more.
LONGEST_SECONDS: Final = 90.0
SHORTEST_SECONDS: Final = 0.5
# Messages may be held up; a clock of the host that ran so much more or less than ours was set meanwhile.
CLOCK_TOLERANCE_SECONDS: Final = 10.0
# Bytes or requests in a second that no machine has: a counter that jumped.
HIGHEST_RATE: Final = 1e13


def seconds_between(before: Sample, after: Sample) -> float | None:
    """Return how long the host counted between two samples by its own clock; None if that cannot be."""
    counted, passed = after.at - before.at, after.received - before.received
    if not SHORTEST_SECONDS <= counted <= LONGEST_SECONDS:
        return None
    return counted if abs(counted - passed) <= CLOCK_TOLERANCE_SECONDS else None


def domain_values(before: Counters | None, after: Counters, seconds: float | None) -> tuple[float, ...]:
    """Return the means of an interval in the order of SERIES; NaN where they cannot be told.

    CPU is per cent of all vCPUs of the domain. Memory is what the guest uses, where its balloon tells, else
    what it was given. A CPU counter that went back tells a new start: then nothing of the interval counts.
    """
    memory = after.memory_used if after.memory_used != UNKNOWN else after.memory
    if before is None or seconds is None or after.cpu_time_ns < before.cpu_time_ns:
        rates = [NOT_A_NUMBER] * 6
        cpu = NOT_A_NUMBER
    else:
        cpu = _per_cent(before.cpu_time_ns, after.cpu_time_ns, after.vcpus, seconds)
        # From rd_bytes to tx_bytes.
        rates = [_rate(b, a, seconds) for b, a in zip(before[4:10], after[4:10], strict=True)]
    return (cpu, _known(memory), *rates)


def host_values(before: HostCounters | None, after: HostCounters, seconds: float | None) -> tuple[float, ...]:
    """Return the means of an interval in the order of SERIES; CPU is per cent of all CPUs of the host."""
    told = UNKNOWN not in (after.memory, after.memory_free)
    used = float(max(0, after.memory - after.memory_free)) if told else NOT_A_NUMBER
    cpu = NOT_A_NUMBER
    if before is not None and seconds is not None:
        cpu = _per_cent(before.cpu_time_ns, after.cpu_time_ns, after.cpus, seconds)
    return (cpu, used, after.load_1, after.load_5, after.load_15)


def _known(value: int) -> float:
    return NOT_A_NUMBER if value == UNKNOWN else float(value)


def _per_cent(before: int, after: int, cpus: int, seconds: float) -> float:
    if before == UNKNOWN or after < before or cpus < 1:
        return NOT_A_NUMBER
    # QEMU's own threads count too, and clocks are not exact.
    return min(100.0, 100 * (after - before) / (NANOSECONDS * cpus * seconds))


def _rate(before: int, after: int, seconds: float) -> float:
    if before == UNKNOWN or after < before:
        return NOT_A_NUMBER
    rate = (after - before) / seconds
    return rate if rate <= HIGHEST_RATE else NOT_A_NUMBER


def mean(values: Sequence[tuple[float, ...]], seconds: Sequence[int] | None = None) -> tuple[float, ...]:
    """Return the mean of each column, of the last one the highest; what is not a number does not count.

    `seconds`: how long each of them is the mean of; None: all the same.
    """
    weights = seconds or [1] * len(values)
    *columns, highest = zip(*values, strict=True)
    means = [_mean(column, weights) for column in columns]
    return (*means, max((value for value in highest if not math.isnan(value)), default=NOT_A_NUMBER))


def _mean(values: Sequence[float], weights: Sequence[int]) -> float:
    told = [pair for pair in zip(values, weights, strict=True) if not math.isnan(pair[0])]
    whole = sum(weight for _, weight in told)
    return sum(value * weight for value, weight in told) / whole if told else NOT_A_NUMBER
