"""An Ethernet segment for a benchmark: a scanner, hypervisors, and hosts whose port is closed."""

from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Network
from pathlib import Path

from tests.networks import Namespace, Segment

from . import fleet


def spread(block: IPv4Network, count: int, *, first: int = 1) -> list[str]:
    """Return `count` addresses of a block, as far from each other as it allows."""
    step = (block.num_addresses - 2) // count
    return [str(block[first + step * number]) for number in range(count)]


@contextmanager
def segment(
    block: IPv4Network, folder: Path, *, hypervisors: int, others: int = 0, port: int
) -> Iterator[Namespace]:
    """Make the segment, and give the namespace to scan from. `folder` takes the hypervisors' state."""
    daemons = spread(block, hypervisors)
    # The scanner has the last address but one; the rest of what is not named here is silent.
    quiet = (
        [address for address in spread(block, others, first=2) if address not in daemons] if others else []
    )
    with Segment(block) as network:
        scanner = network.host("scanner", block[-2])
        network.host("others", *quiet)
        hosts = network.host("hypervisors", *daemons)
        with fleet.inside(hosts, daemons, folder, port=port):
            yield scanner
