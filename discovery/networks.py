"""Arithmetic of addresses: networks, sets of addresses, and the 16 bytes that order them. Pure."""

import ipaddress
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import pairwise

from django.utils.translation import gettext as _

from .errors import BadRange, RangeTooLarge

IP = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Span = tuple[int, int]

SHORTEST_PREFIX = {4: 16, 6: 112}
MAX_ADDRESSES = 65536
LONGEST_TEXT = 49
MAPPED_PREFIX = b"\0" * 10 + b"\xff\xff"
IPV4_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")
LIMITED_BROADCAST = ipaddress.IPv4Network("255.255.255.255/32")


def parse_network(text: object, field: str = "cidr") -> Network:
    """Return the network that `text` writes in CIDR. Raises BadRange; host bits are not guessed away."""
    if not isinstance(text, str) or len(text) > LONGEST_TEXT:
        raise BadRange(field, _("Write a network as CIDR, for example 192.0.2.0/24."))
    cleaned = text.strip()
    try:
        # A scope (fe80::1%eth0) is a name of this machine's, not a part of an address.
        network = ipaddress.ip_network(cleaned, strict=False) if "%" not in cleaned else None
    except ValueError:
        network = None
    if network is None:
        shown = {"text": repr(cleaned)}
        raise BadRange(field, _("%(text)s is no network. Write CIDR, for example 192.0.2.0/24.") % shown)
    address = cleaned.partition("/")[0]
    if ipaddress.ip_address(address) != network.network_address:
        shown = {"text": cleaned, "network": str(network)}
        raise BadRange(field, _("%(text)s is an address inside a network. Write %(network)s.") % shown)
    return network


def parse_range(text: object) -> Network:
    """Return the network of a range. Raises BadRange, or RangeTooLarge above 65,536 addresses."""
    network = parse_network(text)
    shortest = SHORTEST_PREFIX[network.version]
    if network.prefixlen < shortest:
        raise RangeTooLarge(
            "cidr",
            _("%(network)s is too large: a range is at most a /%(prefix)s of IPv%(version)s.")
            % {"network": network, "prefix": shortest, "version": network.version},
        )
    if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(IPV4_MAPPED):
        raise BadRange(
            "cidr", _("%(network)s holds IPv4 addresses: write them as IPv4.") % {"network": network}
        )
    if isinstance(network, ipaddress.IPv6Network) and network.is_link_local:
        raise BadRange(
            "cidr", _("Link-local IPv6 addresses cannot be crawled: they mean another host on each link.")
        )
    if network.is_multicast or network.network_address.is_unspecified or network == LIMITED_BROADCAST:
        raise BadRange("cidr", _("%(network)s holds no addresses of hosts.") % {"network": network})
    return network


def pack(ip: IP) -> bytes:
    """Return the 16 bytes of an address; IPv4 is mapped into IPv6 (RFC 4291, 2.5.5.2)."""
    return MAPPED_PREFIX + ip.packed if ip.version == 4 else ip.packed  # noqa: PLR2004 -- the IP version


def number_of(packed: bytes | memoryview) -> int:
    """Return the integer of a packed address, as `ipaddress` counts in its family."""
    raw = bytes(packed)
    return int.from_bytes(raw[12:] if raw.startswith(MAPPED_PREFIX) else raw)


def ip_of(number: int, version: int) -> IP:
    return ipaddress.IPv4Address(number) if version == 4 else ipaddress.IPv6Address(number)  # noqa: PLR2004


def holders(address: IP) -> list[str]:
    """Return each CIDR that a range which holds `address` may have: one for each length that is allowed."""
    alone = ipaddress.ip_network(address)
    lengths = range(SHORTEST_PREFIX[address.version], alone.max_prefixlen + 1)
    return [str(alone.supernet(new_prefix=length)) for length in lengths]


def bounds(network: Network) -> tuple[bytes, bytes]:
    """Return the first and the last address of `network`, packed."""
    return pack(network[0]), pack(network[-1])


def span(network: Network) -> Span:
    return int(network.network_address), int(network.broadcast_address)


class AddressSet:
    """A set of addresses of one family as sorted, disjoint spans of integers."""

    def __init__(self, spans: Iterable[Span] = (), version: int = 4) -> None:
        self.version = version
        self.spans: list[Span] = []
        for low, high in sorted(spans):
            if self.spans and low <= self.spans[-1][1] + 1:
                self.spans[-1] = (self.spans[-1][0], max(high, self.spans[-1][1]))
            else:
                self.spans.append((low, high))
        self._lows = [low for low, _high in self.spans]

    @classmethod
    def of(cls, network: Network) -> "AddressSet":
        return cls([span(network)], network.version)

    def __len__(self) -> int:
        return sum(high - low + 1 for low, high in self.spans)

    def __contains__(self, number: int) -> bool:
        place = bisect_right(self._lows, number) - 1
        return place >= 0 and number <= self.spans[place][1]

    def __iter__(self) -> Iterator[int]:
        for low, high in self.spans:
            yield from range(low, high + 1)

    def without(self, holes: "AddressSet") -> "AddressSet":
        """Return the addresses of this set that are in none of `holes`."""
        edges = [(-1, -1), *holes.spans, (1 << 128, 1 << 128)]
        gaps = [(left[1] + 1, right[0] - 1) for left, right in pairwise(edges)]
        return self.within(AddressSet(gaps, self.version))

    def within(self, other: "AddressSet") -> "AddressSet":
        """Return the addresses that both sets have."""
        found: list[Span] = []
        mine, theirs = 0, 0
        while mine < len(self.spans) and theirs < len(other.spans):
            low = max(self.spans[mine][0], other.spans[theirs][0])
            high = min(self.spans[mine][1], other.spans[theirs][1])
            if low <= high:
                found.append((low, high))
            if self.spans[mine][1] < other.spans[theirs][1]:
                mine += 1
            else:
                theirs += 1
        return AddressSet(found, self.version)

    def networks(self) -> Iterator[Network]:
        """Return the fewest networks that hold exactly these addresses."""
        make: type[IP] = ipaddress.IPv4Address if self.version == 4 else ipaddress.IPv6Address  # noqa: PLR2004
        for low, high in self.spans:
            yield from ipaddress.summarize_address_range(make(low), make(high))
