"""Shapes of networks for a scanner: every address up, almost none up, and a segment to fill."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from .namespace import Namespace, connect

_SCANNER = IPv4Address("192.0.2.1")  # TEST-NET-1 (RFC 5737): in nobody's block
_ROUTER = IPv4Address("192.0.2.2")


@dataclass(frozen=True)
class Network:
    """`scanner` is the namespace to scan from (its device is eth0), `block` what it can reach."""

    scanner: Namespace
    block: IPv4Network


class Segment:
    """An Ethernet segment: a bridge in a namespace of its own, and the namespaces attached to it."""

    def __init__(self, block: str | IPv4Network) -> None:
        self.block = IPv4Network(block)
        self._open = ExitStack()
        self._ports = 0
        self.switch = self._open.enter_context(Namespace("switch"))
        self.switch.ip("link add br0 type bridge", "link set br0 up")

    def __enter__(self) -> Segment:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove the bridge and all that was attached by `host`."""
        self._open.close()

    def host(self, role: str, *addresses: IPv4Address | str) -> Namespace:
        """A new namespace on the segment, closed with it, with `addresses` of the block (none: a cable)."""
        namespace = self._open.enter_context(Namespace(role))
        self.attach(namespace, *addresses)
        return namespace

    def attach(self, namespace: Namespace, *addresses: IPv4Address | str, device: str = "eth0") -> None:
        """Cable `namespace` to the bridge. Its `device` gets `addresses`, each of the block."""
        port = f"port{self._ports}"
        self._ports += 1
        connect(self.switch, namespace, near_device=port, far_device=device)
        self.switch.ip(f"link set {port} master br0")
        for address in addresses:
            self.add_address(namespace, address, device=device)

    def add_address(self, namespace: Namespace, address: IPv4Address | str, *, device: str = "eth0") -> None:
        """Give `namespace` one more address of the block."""
        namespace.ip(f"address add {self._interface(address)} dev {device}")

    def drop_address(self, namespace: Namespace, address: IPv4Address | str, *, device: str = "eth0") -> None:
        """Take an address from `namespace`."""
        namespace.ip(f"address del {self._interface(address)} dev {device}")

    def _interface(self, address: IPv4Address | str) -> IPv4Interface:
        if IPv4Address(address) not in self.block:
            raise ValueError(f"{address} is outside {self.block}")
        return IPv4Interface(f"{address}/{self.block.prefixlen}")


@contextmanager
def dense(block: str | IPv4Network = "10.78.0.0/16", *, on_link: bool = False) -> Iterator[Network]:
    """Every address of `block` is up, all of them one namespace; no port is open unless a caller listens.

    Routed by default (a scanner pings), or on the scanner's own link (a scanner as root asks by ARP).
    """
    block = IPv4Network(block)
    with Namespace("scanner") as scanner, Namespace("everyone") as everyone:
        connect(scanner, everyone)
        scanner.ip(f"address add {_SCANNER}/30 dev eth0")
        everyone.ip(f"address add {_ROUTER}/30 dev eth0", f"route add local {block} dev lo")
        scanner.ip(f"route add {block} {'dev eth0' if on_link else f'via {_ROUTER}'} src {_SCANNER}")
        yield Network(scanner, block)


@contextmanager
def sparse(block: str | IPv4Network = "10.78.0.0/16", *, up: tuple[str, ...] = ()) -> Iterator[Network]:
    """An Ethernet segment as large as `block`: the scanner has its last address, hosts have those in `up`."""
    with Segment(block) as segment:
        scanner = segment.host("scanner", segment.block[-2])
        if up:
            segment.host("hosts", *up)
        yield Network(scanner, segment.block)
