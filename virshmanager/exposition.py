"""The domains in the text format of Prometheus, under the names that libvirt's exporters share.

All is read at once, in two queries and a few round trips, and written piece by piece: the text is large.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from django.db.models import QuerySet

from domains.choices import DomainState
from domains.models import Domain
from domains.samples import UNKNOWN, Counters
from domains.services import last_counters
from hosts.choices import Status
from hosts.models import Host

LINES_IN_PIECE: Final = 2000
NANOSECONDS: Final = 10**9
# virDomainState.
STATES: Final[Mapping[str, int]] = {
    DomainState.UNKNOWN: 0,
    DomainState.RUNNING: 1,
    DomainState.BLOCKED: 2,
    DomainState.PAUSED: 3,
    DomainState.SHUTDOWN: 4,
    DomainState.SHUTOFF: 5,
    DomainState.CRASHED: 6,
    DomainState.PMSUSPENDED: 7,
}


class Known(NamedTuple):
    """A domain of the mirror: its labels, ready to be written, its state and the most memory it may have."""

    pk: int
    labels: str
    state: int
    max_memory: int


class Fleet(NamedTuple):
    """Of each host its labels and whether its libvirt is alive; of its domains what is known and counted."""

    up: list[tuple[str, int]]
    domains: list[Known]
    counters: dict[int, Counters]


Value = Callable[[Known, Counters], float | None]


def _counter(name: str, scale: int = 1) -> Value:
    """The counter of this name."""
    place = Counters._fields.index(name)

    def value(_: Known, counters: Counters) -> float | None:
        told = counters[place]
        return None if told == UNKNOWN else told if scale == 1 else told / scale

    return value


def _used_percent(_: Known, counters: Counters) -> float | None:
    if counters.memory_used == UNKNOWN or counters.memory < 1:
        return None
    return 100 * counters.memory_used / counters.memory


# Name, type, help, value. The counters are sums over a domain's disks and interfaces.
_FAMILIES: Final[tuple[tuple[str, str, str, Value], ...]] = (
    ("info_virtual_cpus", "gauge", "Virtual CPUs.", _counter("vcpus")),
    ("info_cpu_time_seconds_total", "counter", "CPU time used.", _counter("cpu_time_ns", NANOSECONDS)),
    ("info_memory_usage_bytes", "gauge", "Memory given.", _counter("memory")),
    (
        "memory_stats_used_percent",
        "gauge",
        "Memory that the guest uses, of what it was given.",
        _used_percent,
    ),
    ("block_stats_read_bytes_total", "counter", "Bytes read from disks.", _counter("rd_bytes")),
    ("block_stats_write_bytes_total", "counter", "Bytes written to disks.", _counter("wr_bytes")),
    ("block_stats_read_requests_total", "counter", "Reads from disks.", _counter("rd_reqs")),
    ("block_stats_write_requests_total", "counter", "Writes to disks.", _counter("wr_reqs")),
    ("interface_stats_receive_bytes_total", "counter", "Bytes received.", _counter("rx_bytes")),
    ("interface_stats_transmit_bytes_total", "counter", "Bytes sent.", _counter("tx_bytes")),
    ("interface_stats_receive_packets_total", "counter", "Packets received.", _counter("rx_packets")),
    ("interface_stats_transmit_packets_total", "counter", "Packets sent.", _counter("tx_packets")),
)


def read_fleet() -> Fleet:
    """Read what is to be told: nothing is read while it is written. Without Redis there are no counters."""
    owned: QuerySet[Any, Any] = Host.objects.owned().with_status().order_by("pk")
    hosts = list(owned.values_list("pk", "hostname", "libvirt_alive", "status"))
    told = {pk for pk, _, _, status in hosts if status in {Status.ONLINE, Status.STALE}}
    # Hostnames are what hosts say: two may say the same.
    labels = {pk: f'host="{_escaped(name)}",host_id="{pk}"' for pk, name, _, _ in hosts}
    up = [(labels[pk], int(bool(alive) and status == Status.ONLINE)) for pk, _, alive, status in hosts]
    rows = (
        Domain.objects.present()
        .order_by("pk")
        .values_list("pk", "host", "name", "uuid", "state", "max_memory")
    )
    domains = [
        Known(pk, f'domain="{_escaped(name)}",uuid="{uuid}",{labels[host]}', STATES.get(state, 0), most)
        for pk, host, name, uuid, state, most in rows.iterator(chunk_size=LINES_IN_PIECE)
        if host in told
    ]
    return Fleet(up, domains, last_counters([pk for pk, *_ in hosts]))


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def write(fleet: Fleet) -> Iterator[bytes]:
    """Write the text, in pieces of at most LINES_IN_PIECE lines."""
    head = _head("libvirt_up", "gauge", "Whether the libvirt of a host is alive, and its daemon is heard.")
    yield from _pieces(head, (f"libvirt_up{{{labels}}} {up}\n" for labels, up in fleet.up))
    yield from _of_domains(fleet, "info_vstate", "gauge", "virDomainState.", lambda known: known.state)
    yield from _of_domains(
        fleet, "info_maximum_memory_bytes", "gauge", "Most memory allowed.", lambda known: known.max_memory
    )
    for name, kind, text, value in _FAMILIES:
        yield from _counted(fleet, name, kind, text, value)


def _of_domains(
    fleet: Fleet, name: str, kind: str, text: str, value: Callable[[Known], int]
) -> Iterator[bytes]:
    name = f"libvirt_domain_{name}"
    lines = (f"{name}{{{known.labels}}} {value(known)}\n" for known in fleet.domains)
    return _pieces(_head(name, kind, text), lines)


def _counted(fleet: Fleet, name: str, kind: str, text: str, value: Value) -> Iterator[bytes]:
    name = f"libvirt_domain_{name}"
    counters = fleet.counters
    lines = (
        f"{name}{{{known.labels}}} {number}\n"
        for known in fleet.domains
        if known.pk in counters and (number := value(known, counters[known.pk])) is not None
    )
    return _pieces(_head(name, kind, text), lines)


def _head(name: str, kind: str, text: str) -> str:
    return f"# HELP {name} {text}\n# TYPE {name} {kind}\n"


def _pieces(head: str, lines: Iterator[str]) -> Iterator[bytes]:
    piece = [head]
    for line in lines:
        piece.append(line)
        if len(piece) >= LINES_IN_PIECE:
            yield "".join(piece).encode()
            piece = []
    yield "".join(piece).encode()
