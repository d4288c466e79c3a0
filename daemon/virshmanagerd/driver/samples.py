"""What running domains use, in the few counters that rates are made of."""

from __future__ import annotations

from typing import Final

import libvirt

from virshmanagerd.driver import bulk
from virshmanagerd.driver.answers import BlockCounters, NetCounters, Sample, Stat
from virshmanagerd.driver.session import Session
from virshmanagerd.states import ACTIVE, state_word

GROUPS: Final[int] = (
    bulk.SIZES
    | libvirt.VIR_DOMAIN_STATS_CPU_TOTAL
    | libvirt.VIR_DOMAIN_STATS_BLOCK
    | libvirt.VIR_DOMAIN_STATS_INTERFACE
)


def take(session: Session) -> list[Sample]:
    """A sample of each active domain. One that is busy gives less, and holds up nobody."""
    found = bulk.rows(session, GROUPS, active_only=True)
    return [_sample(handle, stats) for handle, stats in found if _is_active(stats)]


def _is_active(stats: dict[str, Stat]) -> bool:
    return state_word(int(stats.get("state.state", -1))) in ACTIVE


def _sample(handle: libvirt.virDomain, stats: dict[str, Stat]) -> Sample:
    if "cpu.time" not in stats:
        stats = {**_plain(handle), **stats}
    memory = _times(stats.get("balloon.current"), bulk.KIB)
    return Sample(
        uuid=handle.UUIDString(),
        cpu_time_ns=_times(stats.get("cpu.time"), 1),
        vcpus=_times(stats.get("vcpu.current"), 1),
        memory=memory,
        memory_used=_memory_used(stats),
        block=BlockCounters(
            rd_bytes=_sum(stats, "block", "rd.bytes"),
            wr_bytes=_sum(stats, "block", "wr.bytes"),
            rd_reqs=_sum(stats, "block", "rd.reqs"),
            wr_reqs=_sum(stats, "block", "wr.reqs"),
        ),
        net=NetCounters(
            rx_bytes=_sum(stats, "net", "rx.bytes"),
            tx_bytes=_sum(stats, "net", "tx.bytes"),
            rx_packets=_sum(stats, "net", "rx.pkts"),
            tx_packets=_sum(stats, "net", "tx.pkts"),
        ),
    )


def _plain(handle: libvirt.virDomain) -> dict[str, Stat]:
    """The same for drivers without these statistics."""
    try:
        _, _, memory, vcpus, cpu_time = handle.info()
    except libvirt.libvirtError:
        return {}  # it ended meanwhile
    return {"cpu.time": cpu_time, "vcpu.current": vcpus, "balloon.current": memory}


def _memory_used(stats: dict[str, Stat]) -> int | None:
    # What the guest's own balloon driver tells: all it sees, less what it could give to a new program.
    seen, free = stats.get("balloon.available"), stats.get("balloon.usable", stats.get("balloon.unused"))
    if seen is None or free is None:
        return None
    return max(0, int(seen) - int(free)) * bulk.KIB


def _sum(stats: dict[str, Stat], group: str, counter: str) -> int | None:
    count = stats.get(f"{group}.count")
    if count is None:
        return None
    keys = (f"{group}.{number}.{counter}" for number in range(int(count)))
    found = [int(stats[key]) for key in keys if key in stats]
    return sum(found) if found or not count else None


def _times(value: Stat | None, unit: int) -> int | None:
    return None if value is None else int(value) * unit
