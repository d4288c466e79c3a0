"""Which addresses a phase asks, and in which chunks; never one that is excluded, or another range's."""

import ipaddress
from collections.abc import Iterable, Iterator

from ..choices import CHUNK_ADDRESSES, Kind, Phase
from ..models import Address, Chunk, Crawl, Range
from ..networks import AddressSet, Network, bounds, number_of, span

CHUNK_PREFIX = {4: 19, 6: 115}


def own_addresses(range_: Range, enabled: Iterable[Range] | None = None) -> AddressSet:
    """Return the addresses of `range_` that belong to no narrower range, and that no range excludes.

    `enabled` spares the query for the enabled ranges.
    """
    network = range_.network
    holes: list[Network] = []
    for other in Range.objects.enabled() if enabled is None else enabled:
        if other.pk != range_.pk and other.network.overlaps(network):
            holes += map(ipaddress.ip_network, other.excluded)
            if other.network.prefixlen > network.prefixlen:
                holes.append(other.network)
    holes += map(ipaddress.ip_network, range_.excluded)
    return AddressSet.of(network).without(AddressSet(map(span, holes), network.version))


def targets(range_: Range, phase: str, network: Network) -> AddressSet:
    """Return the addresses of `network`, a part of the range, that nmap asks in `phase` now."""
    own = own_addresses(range_).within(AddressSet.of(network))
    if phase == Phase.FULL:
        return own
    known = Address.objects.filter(range=range_, packed__range=bounds(network))
    if phase == Phase.NEW:
        return own.without(_numbers(known.values_list("packed", flat=True), network.version))
    quiet = known.exclude(kind=Kind.HYPERVISOR).values_list("packed", flat=True)
    return own.within(_numbers(quiet, network.version))


def _numbers(packed: Iterable[bytes | memoryview], version: int) -> AddressSet:
    return AddressSet(((number, number) for number in map(number_of, packed)), version)


def chunks_of(crawl: Crawl) -> Iterator[Chunk]:
    """Return the chunks of a crawl, unsaved; a probe, which has no nmap to divide, is one."""
    network = crawl.range.network
    if crawl.phase == Phase.PROBE:
        yield Chunk(crawl=crawl, network=str(network), addresses=0)
        return
    whole = targets(crawl.range, crawl.phase, network)
    for part in _parts(network):
        addresses = len(whole.within(AddressSet.of(part)))
        if addresses:
            yield Chunk(crawl=crawl, network=str(part), addresses=addresses)


def _parts(network: Network) -> Iterable[Network]:
    if network.num_addresses <= CHUNK_ADDRESSES:
        return [network]
    return network.subnets(new_prefix=CHUNK_PREFIX[network.version])
