"""What each phase sends into an Ethernet segment of 4,096 addresses, of which most are silent."""

from ipaddress import IPv4Network

from tests.networks import Namespace

from .tools.report import Figure, Target, begin, section
from .tools.segment import segment
from .tools.server import Server, server
from .tools.wire import metered

BLOCK = IPv4Network("10.78.0.0/20")
PORT = 16510
HYPERVISORS = 20
# The scanner itself is one more.
OTHERS = 979
ACTIVE = HYPERVISORS + OTHERS + 1
PHASES = ("full", "new", "recheck", "probe")
RECHECK_SHARE = 0.3

Counts = dict[str, Figure]


def main() -> None:
    what = f"packets per phase: {BLOCK}, {ACTIVE:,} active, {HYPERVISORS} of them hypervisors"
    runs = begin("packets", what, runs=3)
    by_nmap = {phase: Figure(f"{phase}: packets of nmap", "", 0) for phase in PHASES}
    on_wire = {phase: Figure(f"{phase}: all packets on the wire", "", 0) for phase in PHASES}
    with server() as ours:
        place = ours.home / "hypervisors"
        with segment(BLOCK, place, hypervisors=HYPERVISORS, others=OTHERS, port=PORT) as scanner:
            for _ in range(runs):
                crawl_all_phases(ours, scanner, by_nmap, on_wire)
    section("sent")
    show(by_nmap, probe=0)
    show(on_wire, probe=None)


def crawl_all_phases(ours: Server, scanner: Namespace, by_nmap: Counts, on_wire: Counts) -> None:
    ours.forget()
    for phase in PHASES:
        with metered(scanner) as meter:
            _run, crawl = ours.crawl(str(BLOCK), "--phase", phase, "--port", str(PORT), inside=scanner)
        by_nmap[phase].add(crawl["packets_sent"])
        on_wire[phase].add(meter.packets)
        counts = crawl["counts"]
        if (counts["hypervisors"], counts["others"]) != (HYPERVISORS, OTHERS + 1):
            raise RuntimeError(f"{phase} did not see the network as it is: {crawl}")


def show(figures: Counts, *, probe: float | None) -> None:
    full = figures["full"].median
    figures["full"].show()
    figures["new"].show(Target(full - ACTIVE))
    figures["recheck"].show(Target(RECHECK_SHARE * full))
    figures["probe"].show(None if probe is None else Target(probe))


if __name__ == "__main__":
    main()
