"""What the apps above know of hosts. They register it; hosts shows it without knowing them."""

from collections.abc import Callable, Collection

DomainCounts = dict[str, int]
CountDomains = Callable[[Collection[int]], dict[int, DomainCounts]]

_counters: list[CountDomains] = []


def register_domain_counts(count: CountDomains) -> None:
    """Let `count(host ids)` tell how many domains each has, by state and in `total`. Called in `ready()`."""
    _counters.append(count)


def domain_counts(host_ids: Collection[int]) -> dict[int, DomainCounts]:
    """Return the numbers for every host asked for, in a fixed number of queries."""
    counts: dict[int, DomainCounts] = {host_id: {} for host_id in host_ids}
    for count in _counters:
        counts.update(count(host_ids))
    return counts
